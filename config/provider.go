package config

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"topupd/config/yamlfile"
	"topupd/topup"
)

// minPurchaseTimeout holds outside this machine, inclusive. A charge that is
// still being answered after less would be unclear for no reason, and an
// unclear purchase blocks its customer for a quiet period.
const minPurchaseTimeout = 10 * time.Second

// quietTimeouts is how many purchase timeouts a quiet period has at least: an
// idle connection, a late execution and a late listing at the provider must
// all fit in before nothing found means nothing bought.
const quietTimeouts = 4

// Hyperline's hosts, and which key belongs to which (Hyperline docs,
// /developers/authentication, read 2026-11-20).
const (
	hyperlineHost    = "api.hyperline.co"
	hyperlineSandbox = "sandbox.api.hyperline.co"
)

// Name is what a provider or rule may be called: it becomes a metric label and
// a word on the command line.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (l loader) provider(y *providerYAML, at string) Provider {
	p := Provider{
		Name: y.Name, Type: y.Type, Line: l.file.Line(at),
		Poll:            Poll(y.Poll),
		PurchaseTimeout: time.Duration(y.PurchaseTimeout),
		NativeAutoTopup: y.NativeAutoTopup,
	}
	if y.Name != "" && !nameForm.MatchString(y.Name) {
		l.file.Report(at+".name", fmt.Sprintf("%q is not a name", y.Name), "write letters, digits, dots, dashes and underscores, at most 63")
	}
	p.BaseURL = l.baseURL(at+".base_url", y)
	l.ofType(&p, y, at)
	p.RateLimit = rateLimit(y)
	l.times(&p, y, at)
	return p
}

// baseURL always returns a URL, so that the rest can be checked.
func (l loader) baseURL(at string, y *providerYAML) *url.URL {
	usual, _ := url.Parse(cmp.Or(y.Type.Traits().BaseURL, "https://localhost"))
	if y.BaseURL == nil {
		return usual
	}
	u, err := url.Parse(*y.BaseURL)
	message, fix := "", "write it like "+usual.String()
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		message = "is not an https URL"
	case u.User != nil:
		message, fix = "holds a user or password", "remove it: the token keys are for that"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(*y.BaseURL, "#"):
		message, fix = "has a query or fragment", "remove everything from the ? or # on"
	case respelt(u):
		message, fix = "writes its host in another way than usual", "write host and port in plain letters and digits, without a dot at the end or a zero in front: two spellings would be two accounts"
	case u.Scheme == "http" && !loopback(u.Hostname()):
		message, fix = "would send the token in the clear to "+u.Hostname(), "write https://; plain http is for this machine only"
	default:
		u.Path = strings.TrimRight(u.Path, "/")
		u.RawPath = ""
		return u
	}
	l.file.Report(at, message, fix)
	return usual
}

// respelt tells whether a host or port has other letters than the usual spelling
// of the same address: an account under two spellings would be bought for twice.
func respelt(u *url.URL) bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '%' }
	return strings.ContainsFunc(u.Hostname(), odd) || strings.HasSuffix(u.Hostname(), ".") || strings.HasPrefix(u.Port(), "0")
}

// ofType reads what only one type of provider has, and refuses the others'.
func (l loader) ofType(p *Provider, y *providerYAML, at string) {
	for _, owner := range topup.ProviderTypes() {
		for _, key := range owner.Traits().Keys {
			if owner != p.Type && p.Type != "" && l.file.Has(at+"."+key) {
				l.file.Report(at+"."+key, "belongs to "+string(owner), "remove it: this provider is "+string(p.Type))
			}
		}
	}
	switch p.Type {
	case topup.Hyperline:
		p.Token = l.secret(at, "token", y.Token, y.TokenFile, true)
		l.keyFitsHost(p, at)
	case topup.Talkover:
		p.UserToken = l.secret(at, "user_token", y.UserToken, y.UserTokenFile, true)
		p.EnvironmentToken = l.secret(at, "environment_token", y.EnvironmentToken, y.EnvironmentTokenFile, true)
		l.environment(p, y, at)
		if !p.UserToken.IsZero() && p.UserToken.Equal(p.EnvironmentToken) {
			l.file.ReportLine(at, fmt.Sprintf("user token and environment token of %q are the same", p.Name), "Talkover needs one of each kind")
		}
	default: // missing or misspelt, reported already
	}
}

var environmentForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

func (l loader) environment(p *Provider, y *providerYAML, at string) {
	switch {
	case y.EnvironmentID == nil && !l.file.Has(at+".environment_id"):
		l.file.Report(at, "environment_id is missing", "add environment_id: it is the customer of this connection")
	case y.EnvironmentID != nil && !environmentForm.MatchString(*y.EnvironmentID):
		l.file.Report(at+".environment_id", fmt.Sprintf("%.60q is not an environment id", *y.EnvironmentID), "copy the id from Talkover's GET /api/user")
	case y.EnvironmentID != nil:
		p.EnvironmentID = *y.EnvironmentID
	}
}

// keyFitsHost keeps test keys away from production and production keys away
// from everything else. Keys have a documented prefix, test_ or prod_
// (Hyperline docs, /developers/authentication, read 2026-11-20).
func (l loader) keyFitsHost(p *Provider, at string) {
	key := p.Token.Reveal()
	if l.file.Has(at+".base_url") && !l.file.Valid(at+".base_url") {
		return // that is reported; which key it needs is not known
	}
	where := at + ".token"
	if l.file.Has(at + ".token_file") {
		where = at + ".token_file"
	}
	host := strings.ToLower(p.BaseURL.Hostname())
	onPort := p.BaseURL.Port() == "" || p.BaseURL.Port() == "443"
	production := p.BaseURL.Scheme == "https" && host == hyperlineHost && onPort
	switch {
	case key == "":
	case strings.HasPrefix(key, "test_") && host != hyperlineSandbox && !loopback(host):
		l.file.Report(where, "a test_ key does not belong to "+p.BaseURL.Host, "use a prod_ key, or base_url: https://"+hyperlineSandbox)
	case strings.HasPrefix(key, "prod_") && !production:
		l.file.Report(where, "a prod_ key does not belong to "+p.BaseURL.Host, "use a test_ key, or base_url: https://"+hyperlineHost)
	case !strings.HasPrefix(key, "test_") && !strings.HasPrefix(key, "prod_") && !loopback(host):
		l.file.Warn(where, "the key starts neither with test_ nor with prod_", "check that it is a Hyperline API key")
	}
}

// rateLimit fills in the documented limits.
func rateLimit(y *providerYAML) RateLimit {
	or := func(given *rateText, usual topup.Rate) Rate {
		if given == nil || usual == (topup.Rate{}) {
			return Rate(usual)
		}
		return Rate(*given)
	}
	usual := y.Type.Traits()
	return RateLimit{
		SharePercent: int(y.RateLimit.Share),
		Reads:        or(y.RateLimit.Reads, usual.Reads), Writes: or(y.RateLimit.Writes, usual.Writes), Requests: or(y.RateLimit.Requests, usual.Requests),
	}
}

// times checks the durations against each other.
func (l loader) times(p *Provider, y *providerYAML, at string) {
	p.UnknownOutcome = UnknownOutcome{Policy: Review, QuietPeriod: time.Duration(y.UnknownOutcome.QuietPeriod)}
	if p.Type.Traits().ReplaysKeys {
		p.UnknownOutcome.Policy = Retry
	}
	if y.UnknownOutcome.Policy != nil {
		p.UnknownOutcome.Policy = *y.UnknownOutcome.Policy
	}
	if p.Type != "" && !p.Type.Traits().ReplaysKeys && p.UnknownOutcome.Policy == Retry {
		l.file.Report(at+".unknown_outcome.policy", "retry would charge again: "+p.Type.Title()+" documents no idempotency keys", "write policy: review, or remove it")
	}
	p.FirstPurchaseAfter = 2 * p.PurchaseTimeout
	if y.FirstPurchaseAfter != nil {
		p.FirstPurchaseAfter = time.Duration(*y.FirstPurchaseAfter)
	}
	if p.Loopback() || l.wrong(at+".purchase_timeout") || l.wrong(at+".unknown_outcome.quiet_period") || l.wrong(at+".first_purchase_after") {
		return
	}
	l.timesOutside(p, at)
}

// wrong tells whether a value was given and refused.
func (l loader) wrong(path string) bool { return l.file.Has(path) && !l.file.Valid(path) }

// timesOutside holds for real providers: an emulator on this machine answers
// within milliseconds, and its purchases cost nothing.
func (l loader) timesOutside(p *Provider, at string) {
	show := func(d time.Duration) string { return yamlfile.Duration(d).String() }
	if p.PurchaseTimeout < minPurchaseTimeout {
		l.file.Report(at+".purchase_timeout", show(p.PurchaseTimeout)+" is too short for a provider that is not on this machine",
			"write "+show(minPurchaseTimeout)+" or more: an answer that comes later is an unclear purchase")
	}
	quiet, needed := p.UnknownOutcome.QuietPeriod, quietTimeouts*p.PurchaseTimeout
	where := at + ".unknown_outcome.quiet_period"
	if !l.file.Has(where) {
		where = at + ".purchase_timeout"
	}
	switch {
	case quiet < needed:
		l.file.ReportLine(where, fmt.Sprintf("quiet_period %s is less than %d × purchase_timeout (%d × %s = %s)",
			show(quiet), quietTimeouts, quietTimeouts, show(p.PurchaseTimeout), show(needed)),
			"write a quiet_period of "+show(needed)+" or more")
	case quiet < 15*time.Minute:
		l.file.Warn(where, show(quiet)+" is less than 15m: a charge that the provider executes late could be taken for none", "write 15m unless the provider is known to be faster")
	}
	if p.FirstPurchaseAfter < p.PurchaseTimeout {
		l.file.ReportLine(at+".first_purchase_after", fmt.Sprintf("first_purchase_after %s is less than purchase_timeout %s", show(p.FirstPurchaseAfter), show(p.PurchaseTimeout)),
			"an earlier installation may have a purchase in flight: write "+show(2*p.PurchaseTimeout))
	}
}

// distinct refuses two providers with one name, and one account twice: both
// would buy for the same customers.
func (l loader) distinct(providers []Provider) {
	names := map[string]Provider{}
	identities := map[topup.ProviderID]Provider{}
	for i, p := range providers {
		at := fmt.Sprintf("providers[%d]", i)
		if first, again := names[p.Name]; again && p.Name != "" {
			l.file.Report(at+".name", fmt.Sprintf("%q is also the provider in line %d", p.Name, first.Line), "give it another name")
		}
		names[p.Name] = p
		if p.Type == "" || (p.Type.Traits().OneCustomer && p.EnvironmentID == "") {
			continue
		}
		if first, again := identities[p.Identity()]; again {
			l.file.ReportLine(at, fmt.Sprintf("%q is the same account as %q in line %d: %s", p.Name, first.Name, first.Line, p.Identity()), "keep one of the two")
		}
		identities[p.Identity()] = p
	}
}
