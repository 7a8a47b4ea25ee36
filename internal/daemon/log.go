package daemon

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"

	"topupd/config"
)

// NewLogger makes the daemon's log, on out. A reader of the log that stops
// reading holds up nothing: see Sink.
func NewLogger(out io.Writer, c config.Log, now func() time.Time) (*slog.Logger, *Sink) {
	s := &Sink{out: out, patience: sinkPatience, limit: sinkLimit, note: func(lines int, since time.Time) []byte {
		var note bytes.Buffer
		slog.New(logHandler(&note, c)).LogAttrs(context.Background(), slog.LevelWarn, "log",
			slog.Int("dropped_lines", lines), slog.Time("since", since),
			slog.String("text", "whoever reads this log was too slow or gone; what is missing here is in the ledger, see topupd purchases list and topupd explain"))
		return note.Bytes()
	}, now: now}
	return slog.New(logHandler(s, c)), s
}

func logHandler(w io.Writer, c config.Log) slog.Handler {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == config.LogText {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}
