-- A person's word that the clock is right is a file beside the inbox now; where one is still needed, it is given again.
DROP TABLE clock_word;
