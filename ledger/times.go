package ledger

import "time"

// micros writes an instant as the database holds it. The zero time is the year
// 1, which no column means; use optional for a time that may be absent.
func micros(t time.Time) int64 { return t.UnixMicro() }

// optional is micros for a time that may be absent: nil or zero is NULL.
func optional(t *time.Time) *int64 {
	if t == nil || t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

func instant(us int64) time.Time { return time.UnixMicro(us).UTC() }

// pointer reads a column that may be NULL.
func pointer(us *int64) *time.Time {
	if us == nil {
		return nil
	}
	t := instant(*us)
	return &t
}

// value reads a column that may be NULL into a time whose zero means "none".
func value(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return instant(*us)
}

// later is the later of two moments that may be absent.
func later(a, b *int64) *int64 {
	if a == nil || (b != nil && *b > *a) {
		return b
	}
	return a
}

// bit writes a bool as the database holds it.
func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
