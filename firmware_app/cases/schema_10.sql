-- clinical.db, schema 10: an object that is no image is kept and never read (other_objects).

ALTER TABLE instances ADD COLUMN kind TEXT;   -- one of other_objects.KINDS; NULL: an image
