package scheduler

import (
	"context"
	"log/slog"

	"topupd/topup"
)

// weighRefusals reads the customers again whose requests were refused, before
// their refusals count against the rule: one that is archived or gone is refused
// whatever the rule asks for. It is called after a refusal, and by every poll for
// what a process that died, or a provider that was away, has left.
func (w *Watch) weighRefusals(ctx context.Context) {
	refused, err := w.Holds.Refusals(ctx, w.ID)
	if err != nil {
		w.refusalFailed(ctx, "", err)
		return
	}
	for purchase, target := range refused {
		account, err := w.Reader.Account(ctx, target)
		if err != nil {
			w.refusalFailed(ctx, purchase, err)
			continue
		}
		stopped, err := w.Holds.CountRefusal(ctx, purchase, account.Inactive == "")
		switch {
		case err != nil:
			w.refusalFailed(ctx, purchase, err)
		case stopped: // a person must act
			w.Log.LogAttrs(ctx, slog.LevelError, "rule stopped", slog.String("provider", w.Name), slog.String("purchase", purchase),
				slog.String("cause", string(topup.StopRefused)))
		}
	}
}

func (w *Watch) refusalFailed(ctx context.Context, purchase string, err error) {
	if ctx.Err() == nil {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "refusal", slog.String("provider", w.Name), slog.String("purchase", purchase), slog.Any("err", err))
	}
}
