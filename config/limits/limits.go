// Package limits reads the caps that the daemon's configuration and the rules
// write in the same way: a period, then purchases or spend per currency.
//
// It must never drop a cap that it cannot read: such a cap is a problem of the
// file, and a file with problems is not used.
package limits

import (
	"fmt"
	"maps"
	"slices"

	"topupd/config/yamlfile"
	"topupd/topup"
)

// Windows are the caps of one scope.
type Windows struct {
	Hour  *Window `yaml:"hour" jsonschema_description:"Caps per calendar hour in UTC."`
	Day   *Window `yaml:"day" jsonschema_description:"Caps per calendar day in UTC."`
	Month *Window `yaml:"month" jsonschema_description:"Caps per calendar month in UTC."`
}

// Window is what may happen in one period.
type Window struct {
	Purchases *int                       `yaml:"purchases" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"Purchases that were permitted to send; reaching the number is allowed."`
	Spend     map[string]yamlfile.Number `yaml:"spend" jsonschema_description:"Money per currency, excluding tax; reaching the amount is allowed."`
}

// Caps returns the caps written at path in the order in which they are
// counted: hours first, purchases before spend, currencies by name. A currency
// or amount that topupd cannot count is reported to the file.
func (w Windows) Caps(f *yamlfile.File, path string, scope topup.CapScope) []topup.Cap {
	var caps []topup.Cap
	for _, p := range []struct {
		period topup.CapPeriod
		window *Window
	}{{topup.CapHour, w.Hour}, {topup.CapDay, w.Day}, {topup.CapMonth, w.Month}} {
		if p.window != nil {
			caps = append(caps, p.window.caps(f, fmt.Sprintf("%s.%s", path, p.period), scope, p.period)...)
		}
	}
	return caps
}

func (w Window) caps(f *yamlfile.File, path string, scope topup.CapScope, period topup.CapPeriod) []topup.Cap {
	var caps []topup.Cap
	if !f.Has(path+".purchases") && !f.Has(path+".spend") {
		f.Report(path, "caps nothing", "add purchases or spend, or remove it")
	}
	if w.Purchases != nil {
		caps = append(caps, topup.Cap{Scope: scope, Period: period, Limit: int64(*w.Purchases)})
	}
	seen := map[topup.Currency]string{}
	for _, code := range slices.Sorted(maps.Keys(w.Spend)) {
		at := path + ".spend." + code
		limit, ok := spend(f, at, code, string(w.Spend[code]))
		switch before, twice := seen[limit.Currency]; {
		case !ok:
		case twice:
			f.Report(at, "is the same currency as "+before, "keep one of the two")
		default:
			seen[limit.Currency] = code
			caps = append(caps, topup.Cap{Scope: scope, Period: period, Currency: limit.Currency, Limit: limit.Minor})
		}
	}
	return caps
}

func spend(f *yamlfile.File, path, code, text string) (topup.Money, bool) {
	currency, err := topup.ParseCurrency(code)
	if err != nil {
		f.Report(path, err.Error(), "write a code such as EUR")
		return topup.Money{}, false
	}
	limit, err := topup.ParseAmount(text, currency)
	if err != nil {
		f.Report(path, err.Error(), fmt.Sprintf("write at most %d decimal places", currency.Digits()))
		return topup.Money{}, false
	}
	if limit.Minor <= 0 {
		f.Report(path, limit.String()+" leaves nothing to spend", "write an amount above zero; topupd pause stops buying")
		return topup.Money{}, false
	}
	return limit, true
}
