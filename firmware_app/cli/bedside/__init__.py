"""What `lantern watch` needs beside the reading: its source, the page in memory, the frames that are kept."""
