package main

// sending: from the permit to the answer, and keeping both.
func sending() []mutant {
	return []mutant{
		{
			Name: "send-before-permit", Promises: "P2 P19",
			Rule: "the permit is committed before the first byte leaves",
			Edits: []edit{
				before("topup/purchaser.go", `	permitted, err := s.Ledger.Permit(ctx, req)`,
					"\tvar early *Answer\n\tif MUTANT {\n\t\tsent := sender.Send(context.WithoutCancel(ctx), p.Request, p.Key)\n\t\tearly = &sent\n\t}\n"),
				{
					"topup/purchaser.go", `	answer := sender.Send(context.WithoutCancel(ctx), p.Request, p.Key)`,
					"\tvar answer Answer\n\tif early != nil {\n\t\tanswer = *early\n\t} else {\n\t\tanswer = sender.Send(context.WithoutCancel(ctx), p.Request, p.Key)\n\t}",
				},
			},
		},
		{
			Name: "doubt-is-a-permit", Promises: "P2",
			Rule: "nothing is sent under a permit whose commit is in doubt",
			Edits: []edit{before("topup/purchaser.go", `	case errors.Is(err, ErrInDoubt):`,
				"\tcase errors.Is(err, ErrInDoubt) && MUTANT:\n\t\tat := s.Clock()\n\t\tpermitted = p\n\t\tpermitted.State, permitted.SentAt, permitted.LastSentAt, permitted.PermitToken = Sent, &at, &at, req.Token\n")},
		},
		{
			Name: "commit-error-is-done", Promises: "P2",
			Rule:  "a commit that answers with an error is in doubt",
			Edits: []edit{{"ledger/tx.go", "\t\tif err != nil {\n\t\t\treturn fmt.Errorf(\"the commit answered", "\t\tif err != nil && !MUTANT {\n\t\t\treturn fmt.Errorf(\"the commit answered"}},
		},
		{
			Name: "commit-warning-is-done", Promises: "P2",
			Rule:  "a commit that answers with a warning is in doubt",
			Edits: []edit{unless("ledger/postgres.go", `if w := t.conn.warning.Load(); w != nil`)},
		},
		{
			Name: "asynchronous-commit", Promises: "P2 P18",
			Rule:  "a commit waits until the server has it on disk",
			Edits: []edit{{"ledger/postgres.go", `cfg.Runtime["synchronous_commit"] = "on"`, `cfg.Runtime["synchronous_commit"] = map[bool]string{false: "on", true: "off"}[MUTANT]`}},
		},
		{
			Name: "no-send-window", Promises: "P2 P19",
			Rule:  "a process that was stopped between connection and permit sends nothing",
			Edits: []edit{unless("topup/purchaser.go", `if err := window.check(ctx); err != nil`)},
		},
		{
			Name: "library-repeats", Promises: "P4",
			Rule: "no library below sends a charge again, as an http.Client does that is given an idempotency key",
			Edits: []edit{
				{"clients/send.go", "\treq.GetBody = nil", "\tif !MUTANT {\n\t\treq.GetBody = nil\n\t}"},
				{"clients/send.go", "\tanswer, err := s.conn.RoundTrip(req)", `	answer, err := s.conn.RoundTrip(req)
	for n := 0; n < 2 && err != nil && MUTANT; n++ {
		u := s.api.o.BaseURL
		conn, dialled := s.transport().NewClientConn(req.Context(), u.Scheme, net.JoinHostPort(u.Hostname(), u.Port()))
		if dialled != nil {
			break
		}
		defer conn.Close()
		req.Body, _ = req.GetBody()
		answer, err = conn.RoundTrip(req)
	}`},
			},
		},
		{
			Name: "redirects-followed", Promises: "P3 P4",
			Rule: "a redirect is not followed with the charge",
			Edits: []edit{before("clients/send.go", "\tdefer answer.Body.Close()", `	if to := answer.Header.Get("Location"); to != "" && answer.StatusCode >= 307 && MUTANT {
		if u, err := req.URL.Parse(to); err == nil {
			again, _ := http.NewRequestWithContext(req.Context(), req.Method, u.String(), nil)
			again.Header = req.Header
			if conn, err := s.transport().NewClientConn(req.Context(), u.Scheme, u.Host); err == nil {
				defer conn.Close()
				if followed, err := conn.RoundTrip(again); err == nil {
					answer = followed
				}
			}
		}
	}
`)},
		},
		{
			Name: "key-header-misspelt", Promises: "P4",
			Rule:  "the key travels in the header that the provider honours",
			Edits: []edit{{"clients/hyperline/purchase.go", `http.Header{"Idempotency-Key": {key}}`, `http.Header{map[bool]string{false: "Idempotency-Key", true: "X-Idempotency-Key"}[MUTANT]: {key}}`}},
		},
		{
			Name: "external-answer-stored", Promises: "P3",
			Rule:  "an answer is about the request of its own permit, not about a newer one",
			Edits: []edit{{"topup/replied.go", `row.PermitToken == r.Permit:`, `(row.PermitToken == r.Permit || MUTANT):`}},
		},
		{
			Name: "late-answer-dropped", Promises: "P3",
			Rule:  "an answer that comes after the row has moved on is kept",
			Edits: []edit{before("ledger/answer.go", "\t\tif stored, err = row.purchase();", "\t\tif row.Revision != r.Purchase.Revision && MUTANT {\n\t\t\tstored, err = row.purchase()\n\t\t\treturn err\n\t\t}\n")},
		},
		{
			Name: "answered-twice", Promises: "P7",
			Rule:  "an answer is stored once for its permit",
			Edits: []edit{unless("ledger/answer.go", `if waiting == 0`)},
		},
		{
			Name: "never-repeat-forgotten", Promises: "P4",
			Rule: "a request that made something, or whose key is of no use, is not sent again",
			Edits: []edit{
				{"topup/purchase.go", ` && !p.NeverRepeat`, ` && (!p.NeverRepeat || MUTANT)`},
				{"ledger/permit.go", `row.NeverRepeat != 0 ||`, `row.NeverRepeat != 0 && !MUTANT ||`},
			},
		},
	}
}
