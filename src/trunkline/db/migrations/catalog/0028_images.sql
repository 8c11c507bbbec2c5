-- What the containers of a version are made of, as JSON, or nothing where its code runs on the
-- machine itself; and why it does so though its spec names an image.

ALTER TABLE pipeline_version ADD COLUMN image TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_version ADD COLUMN why_host TEXT NOT NULL DEFAULT '';
