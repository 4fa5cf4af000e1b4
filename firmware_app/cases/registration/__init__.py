"""Patients as a clinic registers them: identity card, name and pinyin, examination, and the entry made of these."""
