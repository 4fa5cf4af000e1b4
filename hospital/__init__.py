"""The county hospital's receiving end: broker, receiver, inbox, keys, and the page for the doctor on duty."""
