-- The ledger that the questions of docs/sql.md are asked of: eleven files of two days.
INSERT INTO roots VALUES (1, '5f0c6d1e-3a53-4f5c-9d55-2f6c3c1f0a11', '2026-11-20 08:00:00.000000', 'darkroom', '/var/lib/gdwatch');
INSERT INTO commands VALUES
  (1, 1, 'run', '', 'gdwatch', '2026-11-20 08:00:00.000000', NULL),
  (2, 1, 'correct', 'correct 6 female', 'erika', '2026-11-21 17:29:59.000000', NULL);
INSERT INTO models VALUES
  (1, 'aaaa', 'fast', '0.1.0', '2026-11-20 08:00:00.000000', '{}'),
  (2, 'bbbb', 'fast', '0.2.0', '2026-11-23 09:00:00.000000', '{}');
INSERT INTO batches VALUES
  (1, 1, 'cpu', 6, 24.0, 12.0, '2026-11-20 08:05:00.000000', '2026-11-20 08:05:00.050000'),
  (2, 2, 'cpu', 3, 15.0, 6.0, '2026-11-23 10:00:00.000000', '2026-11-23 10:00:00.030000');
INSERT INTO files (id, root_id, sha256, size_bytes, modified_ns, name, original_path, path, source_path, state, outcome, reason, model_id, duplicate_of, received_at, recorded_at, filed_at) VALUES
  (1, 1, 'h1', 5000, 1, 'anna.jpg', 'inbox/wedding/anna.jpg', 'female/wedding/anna.jpg', NULL, 'filed', 'female', NULL, 1, NULL, '2026-11-20 08:04:58', '2026-11-20 08:05:00', '2026-11-20 08:05:00'),
  (2, 1, 'h2', 6000, 1, 'ben.jpg', 'inbox/wedding/ben.jpg', 'male/wedding/ben.jpg', NULL, 'filed', 'male', NULL, 1, NULL, '2026-11-20 08:04:58', '2026-11-20 08:05:00', '2026-11-20 08:05:00'),
  (3, 1, 'h3', 7000, 1, 'clara.jpg', 'inbox/clara.jpg', 'female/clara.jpg', NULL, 'filed', 'female', NULL, 2, NULL, '2026-11-20 08:04:58', '2026-11-20 08:05:00', '2026-11-20 08:05:00'),
  (4, 1, 'h4', 8000, 1, 'blurred.jpg', 'inbox/blurred.jpg', 'unsure/blurred.jpg', NULL, 'filed', 'unsure', 'low_confidence', 1, NULL, '2026-11-20 08:04:59', '2026-11-20 08:05:00', '2026-11-20 08:05:00'),
  (5, 1, 'h1', 5000, 1, 'anna-copy.jpg', 'inbox/anna-copy.jpg', 'female/anna-copy.jpg', NULL, 'filed', 'female', NULL, 1, 1, '2026-11-20 08:04:59', '2026-11-20 08:05:00', '2026-11-20 08:05:00'),
  (6, 1, 'h6', 9000, 1, 'robin.jpg', 'inbox/robin.jpg', 'female/robin.jpg', NULL, 'filed', 'female', NULL, 1, NULL, '2026-11-20 08:04:59', '2026-11-20 08:05:00', '2026-11-21 17:30:00'),
  (7, 1, 'h7', 300, 1, 'notes.txt', 'inbox/notes.txt', 'rejected/notes.txt', NULL, 'filed', 'rejected', 'not_an_image', 1, NULL, '2026-11-20 09:00:00', '2026-11-20 09:00:01', '2026-11-20 09:00:01'),
  (8, 1, 'h8', 4000, 1, 'half.jpg', 'inbox/half.jpg', 'rejected/half.jpg', NULL, 'filed', 'rejected', 'truncated', 1, NULL, '2026-11-20 09:00:00', '2026-11-20 09:00:01', '2026-11-20 09:00:01'),
  (9, 1, 'h9', 6500, 1, 'david.jpg', 'inbox/david.jpg', 'male/david.jpg', NULL, 'missing', 'male', NULL, 2, NULL, '2026-11-23 09:59:57', '2026-11-23 10:00:00', '2026-11-23 10:00:00'),
  (10, 1, 'h10', 6600, 1, 'emil.jpg', 'inbox/emil.jpg', 'male/emil.jpg', NULL, 'filed', 'male', NULL, 2, NULL, '2026-11-23 09:59:58', '2026-11-23 10:00:00', '2026-11-23 10:00:00'),
  (11, 1, 'h11', 6700, 1, 'fay.jpg', 'inbox/fay.jpg', 'female/fay.jpg', 'inbox/fay.jpg', 'recorded', 'female', NULL, 2, NULL, '2026-11-23 09:59:59', '2026-11-23 10:00:00', NULL);
INSERT INTO results (file_id, model_id, rules, outcome, reason, label, p_male, confidence, faces, width, height, format, batch_id, decided_at) VALUES
  (1, 1, 'r', 'female', NULL, 'female', 0.02, 0.98, NULL, 200, 200, 'JPEG', 1, '2026-11-20 08:05:00'),
  (2, 1, 'r', 'male', NULL, 'male', 0.99, 0.99, NULL, 200, 200, 'JPEG', 1, '2026-11-20 08:05:00'),
  (3, 1, 'r', 'unsure', 'low_confidence', 'male', 0.55, 0.55, NULL, 200, 200, 'JPEG', 1, '2026-11-20 08:05:00'),
  (3, 2, 'r', 'female', NULL, 'female', 0.03, 0.97, NULL, 200, 200, 'JPEG', NULL, '2026-11-23 09:30:00'),
  (4, 1, 'r', 'unsure', 'low_confidence', 'female', 0.41, 0.59, NULL, 200, 200, 'JPEG', 1, '2026-11-20 08:05:00'),
  (5, 1, 'r', 'female', NULL, 'female', 0.02, 0.98, NULL, 200, 200, 'JPEG', 1, '2026-11-20 08:05:00'),
  (6, 1, 'r', 'male', NULL, 'male', 0.93, 0.93, NULL, 200, 200, 'JPEG', 1, '2026-11-20 08:05:00'),
  (7, 1, 'r', 'rejected', 'not_an_image', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 09:00:01'),
  (8, 1, 'r', 'rejected', 'truncated', NULL, NULL, NULL, NULL, 200, 200, 'JPEG', NULL, '2026-11-20 09:00:01'),
  (9, 2, 'r', 'male', NULL, 'male', 0.97, 0.97, NULL, 200, 200, 'JPEG', 2, '2026-11-23 10:00:00'),
  (10, 2, 'r', 'male', NULL, 'male', 0.98, 0.98, NULL, 200, 200, 'JPEG', 2, '2026-11-23 10:00:00'),
  (11, 2, 'r', 'female', NULL, 'female', 0.01, 0.99, NULL, 200, 200, 'JPEG', 2, '2026-11-23 10:00:00');
INSERT INTO corrections VALUES (1, 6, 'female', 'erika', '2026-11-21 17:29:59', 'command', 2);
INSERT INTO moves (file_id, from_path, to_path, why, command_id, moved_at)
  SELECT id, original_path, path, 'run', 1, filed_at FROM files WHERE filed_at IS NOT NULL AND id <> 6;
INSERT INTO moves (file_id, from_path, to_path, why, command_id, moved_at) VALUES
  (6, 'inbox/robin.jpg', 'male/robin.jpg', 'run', 1, '2026-11-20 08:05:00'),
  (6, 'male/robin.jpg', 'female/robin.jpg', 'correct', 2, '2026-11-21 17:30:00');
UPDATE files SET moved_at = filed_at,
  result_id = (SELECT max(r.id) FROM results r WHERE r.file_id = files.id AND r.model_id = files.model_id);
UPDATE files SET filed_at = recorded_at WHERE id = 6;
UPDATE results SET min_confidence = 0.9, command_id = 1;
UPDATE files SET taken_at = '2026-11-19 14:' || (10 + id) || ':00+01:00', camera = 'Canon EOS R6' WHERE id IN (1, 2, 5);
UPDATE files SET taken_at = '2025-07-01 09:00:00', camera = 'Apple iPhone 12' WHERE id = 3;
UPDATE results SET faces = CASE file_id WHEN 2 THEN 3 ELSE 1 END WHERE label IS NOT NULL;
INSERT INTO moves (file_id, from_path, to_path, why, command_id, moved_at)
  VALUES (10, 'unsure/emil.jpg', 'male/emil.jpg', 'hand', NULL, '2026-11-23 12:00:00');
