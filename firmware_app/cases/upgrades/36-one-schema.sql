-- Rows of a case leave with it from now on, by foreign keys.  Left over by a case that was deleted at the same moment, a
-- row here belonged to nothing.
DELETE FROM case_persons WHERE case_reference NOT IN (SELECT reference FROM cases);
DELETE FROM listed_more WHERE case_reference NOT IN (SELECT reference FROM cases);
DELETE FROM earlier_searches WHERE case_reference NOT IN (SELECT reference FROM cases);
DELETE FROM earlier_studies WHERE case_reference NOT IN (SELECT reference FROM cases);
DELETE FROM results_due WHERE case_reference NOT IN (SELECT reference FROM cases);
DELETE FROM offered_results WHERE case_reference NOT IN (SELECT reference FROM cases);
DELETE FROM told_observations WHERE case_reference NOT IN (SELECT reference FROM cases);
DELETE FROM hospital_receipts WHERE case_reference NOT IN (SELECT reference FROM cases);
