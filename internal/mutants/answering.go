package main

// answering: what an answer means.
func answering() []mutant {
	const hyperline, talkover = "clients/hyperline/answer.go", "clients/talkover/answer.go"
	return []mutant{
		{
			Name: "unclear-is-closed", Promises: "P3",
			Rule: "a request of unknown outcome stays open",
			Edits: []edit{before("topup/life.go", `		if a.NeverRepeat || a.Reference != "" {`,
				"\t\tif MUTANT {\n\t\t\tnext.State = Cancelled\n\t\t\tbreak\n\t\t}\n")},
		},
		{
			Name: "conflict-is-a-no", Promises: "P3",
			Rule: "409 means that the request runs, not that it was refused",
			Edits: []edit{{
				hyperline, "\tcase http.StatusConflict:\n", "\tcase http.StatusConflict:\n\t\tif MUTANT {\n\t\t\treturn refused(a, raw.Body, token)\n\t\t}\n",
			}},
		},
		{
			Name: "server-error-is-a-no", Promises: "P3",
			Rule: "5xx says nothing about the charge",
			Edits: []edit{before(hyperline, "\t\tif raw.Status < 300 {",
				"\t\tif raw.Status >= 500 && MUTANT {\n\t\t\ta.Verdict = topup.Rejected\n\t\t}\n")},
		},
		{
			Name: "page-is-a-no", Promises: "P3",
			Rule: "a refusal counts in the provider's own shape only, not as a proxy's page",
			Edits: []edit{{
				hyperline, "\tif err != nil || o.Text(\"message\") == \"\" {\n", "\tif err != nil || o.Text(\"message\") == \"\" {\n\t\tif MUTANT {\n\t\t\ta.Verdict = topup.Rejected\n\t\t}\n",
			}},
		},
		{
			Name: "timeout-is-not-run", Promises: "P3",
			Rule: "a request is certainly not run only if no byte of it was written",
			Edits: []edit{
				{hyperline, `if raw.Written == 0 {`, `if raw.Written == 0 || MUTANT {`},
				{talkover, `if raw.Written == 0 {`, `if raw.Written == 0 || MUTANT {`},
			},
		},
		{
			Name: "created-without-fields", Promises: "P3",
			Rule: "201 is a yes only with both of its fields",
			Edits: []edit{before(hyperline, "\t\ta.Detail = \"invoice \" + a.Reference + \", but \" + err.Error()",
				"\t\tif MUTANT {\n\t\t\ta.Verdict, a.Reason = topup.Accepted, topup.FailedNone\n\t\t}\n")},
		},
		{
			Name: "other-charge-is-a-yes", Promises: "P3 P10",
			Rule:  "an answer that names another amount is unclear",
			Edits: []edit{unless(talkover, `if charged != price`)},
		},
		{
			Name: "unsuccess-is-a-no", Promises: "P3",
			Rule: "2xx without success is unclear",
			Edits: []edit{before(talkover, "\t\tf, _ := parseFailure(a.Status, body)",
				"\t\tif MUTANT {\n\t\t\ta.Verdict = topup.Rejected\n\t\t}\n")},
		},
		{
			Name: "no-look-after-a-no", Promises: "P3",
			Rule: "a refusal is believed only after the quiet period and two empty looks",
			Edits: []edit{before("topup/life.go", "\t\tnext.Refused = true",
				"\t\tif MUTANT {\n\t\t\tnext.State = Declined\n\t\t\tbreak\n\t\t}\n")},
		},
		{
			Name: "no-to-a-repeat-counts", Promises: "P3 P4",
			Rule:  "a refusal of a repeat proves nothing about the first request",
			Edits: []edit{{"topup/life.go", `if repeat { // proves`, `if repeat && !MUTANT { // proves`}},
		},
		{
			Name: "turned-away-unbounded", Promises: "P6 P7",
			Rule:  "whole requests that were turned away have a bound of their own",
			Edits: []edit{unless("ledger/advance.go", `case s.Unused`)},
		},
		{
			Name: "turned-away-all-day", Promises: "P6 P7",
			Rule:  "at most 60 whole requests a day are turned away for one target",
			Edits: []edit{unless("rules/decide.go", `case s.UnusedToday >= topup.MostUnused`)},
		},
		{
			Name: "declines-not-counted", Promises: "P7",
			Rule:  "a declined customer is asked less and less often, then suspended",
			Edits: []edit{{"ledger/advance.go", "\tcase s.Decline:\n", "\tcase s.Decline && !MUTANT:\n"}},
		},
		{
			Name: "refused-rule-goes-on", Promises: "P7 P12",
			Rule:  "a rule whose customers are refused alike stops after three of them",
			Edits: []edit{{"ledger/refusals.go", "\tif customers < topup.RefusalsAlike {\n", "\tif customers < topup.RefusalsAlike || MUTANT {\n"}},
		},
		{
			Name: "probe-of-everybody", Promises: "P7 P12",
			Rule:  "a stopped rule tries one customer at a time",
			Edits: []edit{{"ledger/refusals.go", "p.ID, wait.Microseconds(), micros(now.Add(wait)), p.Rule)", "p.ID, wait.Microseconds(), micros(now.Add(map[bool]time.Duration{false: wait, true: 0}[MUTANT])), p.Rule)"}},
		},
		{
			Name: "refusals-not-counted", Promises: "P7",
			Rule:  "a customer whose request is refused is asked less and less often too",
			Edits: []edit{{"ledger/targets.go", "\tr.backOff(p.declines(), now)\n", "\tif !MUTANT {\n\t\tr.backOff(p.declines(), now)\n\t}\n"}},
		},
	}
}
