"""Images made by code, of no patient: phantoms, eigenfilms, golden images; and films as another machine gives them."""
