package emulator

import (
	"html/template"
	"log/slog"
	"net/http"
	"slices"
)

// pageRows is how many charges and requests the page lists, newest first.
const pageRows = 50

// pageCustomers bounds the customers on the page.
const pageCustomers = 1000

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>topupd emulator</title>
<style>
 body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#222;background:#fff}
 table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem} th{text-align:left;font-weight:600}
 th,td{padding:.15rem .6rem .15rem 0;border-bottom:1px solid #e5e5e5;vertical-align:top} .n{text-align:right;font-variant-numeric:tabular-nums}
 code{font-size:12px} .low{color:#b45309} .bad{color:#b91c1c} .good{color:#15803d} .note{color:#666}
 @media(prefers-color-scheme:dark){body{color:#ddd;background:#161616} th,td{border-color:#333} .note{color:#999}}
</style></head><body>
<h1>topupd emulator</h1>
<p class="note">Hyperline at <code>/</code>, Talkover at <code>/talkover</code>. Nobody is charged here.
 <a href="books">books</a> · <a href="customers">customers</a> · <a href="faults">faults</a></p>
<h2>Faults</h2>
{{if .Faults}}<table><tr><th>fault</th><th class="n">probability</th></tr>
{{range $name, $p := .Faults}}<tr><td>{{$name}}</td><td class="n">{{$p}}</td></tr>{{end}}</table>{{else}}<p>None active.</p>{{end}}
{{with .Next}}<p>Forced next: {{range .}}<code>{{.}}</code> {{end}}</p>{{end}}
<h2>Charges <span class="note">{{.Captured}} captured of {{.Ordered}} ordered</span></h2>
<table><tr><th>at</th><th>provider</th><th>customer</th><th class="n">credits</th><th class="n">excl. tax</th><th>by</th><th>invoice</th><th>status</th><th>key</th></tr>
{{range .Charges}}<tr><td>{{.At.Format "15:04:05"}}</td><td>{{.Provider}}</td><td><code>{{.Customer}}</code></td><td class="n">{{.Credits}}</td><td class="n">{{.Amount}} {{.Currency}}</td><td>{{.Source}}</td><td><code>{{.Invoice}}</code></td><td class="{{if .Captured}}good{{else}}bad{{end}}">{{.Status}}</td><td><code>{{.Key}}</code></td></tr>
{{end}}</table>
<h2>Purchase requests <span class="note">{{.Received}} received</span></h2>
<table><tr><th class="n">no.</th><th>at</th><th>provider</th><th>customer</th><th>fault</th><th class="n">answered</th><th>executed</th><th>key</th></tr>
{{range .Requests}}<tr><td class="n">{{.Seq}}</td><td>{{.ReceivedAt.Format "15:04:05"}}</td><td>{{.Provider}}</td><td><code>{{.Customer}}</code></td><td class="bad">{{.Fault}}</td><td class="n">{{if .Status}}{{.Status}}{{else}}no answer{{end}}</td><td>{{if .Executed}}yes{{else if .Replayed}}replayed{{else}}no{{end}}</td><td><code>{{.Key}}</code></td></tr>
{{end}}</table>
<h2>Customers <span class="note">{{.Count}}{{if gt .Count (len .Customers)}}, the first {{len .Customers}}{{end}}</span></h2>
<table><tr><th>provider</th><th>id</th><th>name</th><th class="n">balance</th><th class="n">threshold</th><th class="n">per second</th><th>card</th><th>own top-up</th></tr>
{{range .Customers}}<tr><td>{{.Provider}}</td><td><code>{{.ID}}</code></td><td>{{.Name}}{{if .Archived}} <span class="note">archived</span>{{end}}</td><td class="n">{{.Balance}}</td><td class="n">{{.Threshold}}</td><td class="n">{{.PerSecond}}</td><td class="{{if ne .Card "good"}}low{{end}}">{{.Card}}</td><td>{{if .AutoTopup}}on{{end}}</td></tr>
{{end}}</table></body></html>
`))

// page is what a human looks at.
func (e *Emulator) page(rw http.ResponseWriter, _ *http.Request) {
	books, faults, customers := e.Books(), e.Faults(), e.Customers()
	rw.Header().Set("Content-Type", htmlType)
	err := pageTemplate.Execute(rw, map[string]any{
		"Faults": faults.Active(), "Next": faults.Next, "Customers": customers[:min(len(customers), pageCustomers)], "Count": len(customers),
		"Captured": len(books.Captured()), "Ordered": len(books.Charges), "Received": len(books.Requests),
		"Charges": newest(books.Charges), "Requests": newest(books.Requests),
	})
	if err != nil {
		e.world.log.Debug("page not delivered", slog.Any("err", err))
	}
}

func newest[T any](all []T) []T {
	last := slices.Clone(all[max(0, len(all)-pageRows):])
	slices.Reverse(last)
	return last
}
