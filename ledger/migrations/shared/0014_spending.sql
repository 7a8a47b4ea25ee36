-- +goose Up
-- What is spent in the windows of now, for gauges: the windows of a scope that
-- begin at a time, the fullest last.
CREATE INDEX cap_window_now ON cap_window (scope, period, starts_at, currency, total);
