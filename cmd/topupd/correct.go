package main

import "topupd/topup"

// purchasesCorrectCmd stores a correcting entry: what a person, or topupd, took
// for the outcome of a purchase was wrong.
type purchasesCorrectCmd struct {
	ID    string `arg:"" help:"The id, or at least four characters of its beginning or end."`
	To    string `required:"" enum:"charged,not-charged" help:"What really happened: ${enum}." placeholder:"OUTCOME"`
	Again bool   `help:"It was corrected already, and that was wrong too."`
	decisionFlags
}

func (*purchasesCorrectCmd) Help() string {
	return `What a person said about a purchase cannot be taken back, and it can be wrong. A correcting entry says what is right, by whom and why; the first word stays in the history beside it, and every list shows that there was one.

It passes every check of topupd purchases resolve: the provider's books are asked where there are any, a reference must be this customer's, fit the purchase and explain no other, and not-charged waits for the end of the quiet period. It opens no purchase again: nothing is sent, repeated or looked for. Caps and spend follow, and whatever was decided about the customer meanwhile is decided anew.

--to charged counts a purchase that ended as declined or cancelled as bought, or puts another --reference in the place of a wrong one. --to not-charged ends one that counted as bought as declined.

Examples:

    topupd purchases correct 7f3c --to charged --reference inv_21 --note "on the statement after all"
    topupd purchases correct 7f3c --to not-charged --note "ticket 4711: txn_9f21 is another customer's"
    topupd purchases correct 7f3c --to not-charged --note "as ticket 4711 says" --dry-run`
}

func (c *purchasesCorrectCmd) Run(a *app) error {
	return a.decide(c.ID, c.To, c.decisionFlags, func(r *resolving) { r.step, r.decision.Again = topup.Corrected, c.Again })
}
