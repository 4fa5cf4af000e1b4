-- The receiver goes by the boxes alone when it doubts its clock; nobody has to say any more that it is right.
DROP TABLE clock_word;
