package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"topupd/config/yamlfile"
	"topupd/topup"
)

// maxRules bounds the rules of all files together, inclusive.
const maxRules = 10_000

// Provider is what rules need to know about a provider connection.
type Provider struct {
	Name string
	Type topup.ProviderType
}

// Context is what the rules are read against.
type Context struct {
	Providers    []Provider
	GlobalCaps   []topup.Cap
	ProviderCaps []topup.Cap
	DryRun       bool      // the daemon's mode
	Now          time.Time // an expiry before it is a mistake
	// Dir is the folder that file names are shown relative to; "" shows the
	// paths as they are.
	Dir    string
	Getenv func(string) string // for ${NAME}; nil has no variables
}

// Load reads the rules of all files in their order and finds every mistake in
// them. The Set holds what could be read, so that more can be said about it; it
// must not be used unless problems.Err() is nil.
func Load(paths []string, in Context) (Set, yamlfile.Problems) {
	if in.Getenv == nil {
		in.Getenv = func(string) string { return "" }
	}
	l := loader{in: in}
	var files []*yamlfile.File
	for _, path := range paths {
		f := yamlfile.Read(path, in.label(path), in.Getenv)
		files = append(files, f)
		var y fileYAML
		f.Decode(&y)
		for i := range y.Rules {
			if len(l.set.Rules) == maxRules {
				f.Report("rules", fmt.Sprintf("there are more than %d rules", maxRules), "match several customers with one rule")
				break
			}
			l.rule(f, fmt.Sprintf("rules[%d]", i), &y.Rules[i])
		}
	}
	l.distinct()
	l.shadowed()
	var problems yamlfile.Problems
	for _, f := range files {
		problems = append(problems, f.Problems()...)
	}
	return l.set, problems
}

func (in Context) label(path string) string {
	if in.Dir == "" {
		return path
	}
	rel, err := filepath.Rel(in.Dir, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}

// loader is one run of Load. places[i] is where set.Rules[i] was written.
type loader struct {
	in     Context
	set    Set
	places []ruleAt
}

// ruleAt is one rule in its file, for reports.
type ruleAt struct {
	*yamlfile.File
	path string
}

func (a ruleAt) at(key string) string { return a.path + "." + key }

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// rule reads one rule and everything that can be wrong in it alone.
func (l *loader) rule(f *yamlfile.File, path string, y *ruleYAML) {
	a := ruleAt{f, path}
	r := Rule{
		Name: y.Name, File: f.Name(), Line: f.Line(path),
		Cooldown:      time.Duration(y.Cooldown),
		ConfirmAfter:  time.Duration(y.ConfirmAfter),
		MaxReadingAge: time.Duration(y.MaxReadingAge),
		Unpaid:        Unpaid(y.Unpaid),
		Declines: Declines{
			Backoff: time.Duration(y.Declines.Backoff), MaxBackoff: time.Duration(y.Declines.MaxBackoff),
			SuspendAfter: y.Declines.SuspendAfter,
		},
		DryRun: l.in.DryRun || y.Mode == dryRun,
	}
	if y.Name != "" && !nameForm.MatchString(y.Name) {
		a.Report(a.at("name"), fmt.Sprintf("%q is not a name", y.Name), "write letters, digits, dots, dashes and underscores, at most 63")
	}
	l.providers(a, y, &r)
	refused(a, &r)
	readProduct(a, y, &r)
	readMatch(a, y, &r)
	readThreshold(a, y, &r)
	readBuy(a, y, &r)
	l.expires(a, y, &r)
	checkTimes(a, &r)
	l.caps(a, y, &r)
	lift(a, &r)
	unreachable(a, &r)
	r.Version = version(r)
	checkTerms(a, r)
	l.set.Rules = append(l.set.Rules, r)
	l.places = append(l.places, a)
}

// providers finds the type of the rule's providers.
func (l *loader) providers(a ruleAt, y *ruleYAML, r *Rule) {
	types := map[string]topup.ProviderType{}
	var names []string
	for _, p := range l.in.Providers {
		types[p.Name] = p.Type
		names = append(names, p.Name)
	}
	first := ""
	for i, name := range y.Provider {
		at := a.at("provider")
		if item := fmt.Sprintf("%s[%d]", at, i); a.Has(item) {
			at = item
		}
		kind, known := types[name]
		switch {
		case name == "" || len(names) == 0: // reported already, here or in the configuration
		case !known:
			a.Report(at, fmt.Sprintf("there is no provider %q", name), unknownProvider(name, names))
		case r.ProviderType != "" && kind != r.ProviderType:
			a.Report(at, fmt.Sprintf("%q is %s, %q is %s", name, kind, first, r.ProviderType), "write a rule for each type of provider")
		case contains(r.Providers, name):
			a.Report(at, fmt.Sprintf("%q stands here a second time", name), "remove one of the two")
		default:
			r.Providers = append(r.Providers, name)
			if r.ProviderType == "" {
				r.ProviderType, first = kind, name
			}
		}
	}
}

func unknownProvider(name string, names []string) string {
	if meant := yamlfile.Suggest(name, names); meant != "" {
		return "did you mean " + meant + "?"
	}
	return "known: " + strings.Join(names, ", ")
}

func readProduct(a ruleAt, y *ruleYAML, r *Rule) {
	if y.Product != nil {
		r.Product = topup.ProductID(*y.Product)
	}
	only := r.ProviderType.Traits().Product
	switch {
	case r.ProviderType == "": // reported already
	case only == "" && !a.Has(a.at("product")):
		a.Report(a.path, "product is missing", "add product: the id of the credit product, itm_…")
	case only != "" && r.Product == "":
		r.Product = only
	case only != "" && r.Product != only:
		a.Report(a.at("product"), fmt.Sprintf("%s has no product %q", r.ProviderType.Title(), r.Product), fmt.Sprintf("write product: %s, or leave it out", only))
	}
}

// refused reports the keys that the rule's type of provider has no use for.
func refused(a ruleAt, r *Rule) {
	for _, no := range r.ProviderType.Traits().RefusedInRules {
		if a.Has(a.at(no.Key)) {
			a.Report(a.at(no.Key), no.Message, no.Fix)
		}
	}
}

// refuses tells whether a key was reported for the rule's type of provider; what
// would follow from it is no news.
func refuses(r *Rule, key string) bool {
	return slices.ContainsFunc(r.ProviderType.Traits().RefusedInRules, func(no topup.RefusedKey) bool { return no.Key == key })
}

func readThreshold(a ruleAt, y *ruleYAML, r *Rule) {
	r.Threshold.Provider = y.Threshold.Provider
	if !y.Threshold.Provider {
		fixed := y.Threshold.Fixed
		r.Threshold.Fixed = &fixed
	}
	if y.DefaultThreshold != nil {
		value := topup.Credits(*y.DefaultThreshold)
		r.Threshold.Default = &value
	}
	without := r.ProviderType != "" && !r.ProviderType.Traits().OwnThreshold
	switch {
	case without && !a.Has(a.at("threshold")):
		a.Report(a.path, "threshold is missing", "add threshold: a number of credits; "+r.ProviderType.Title()+" has none of its own")
	case without && r.Threshold.Provider:
		a.Report(a.at("threshold"), r.ProviderType.Title()+" has no threshold of its own to follow", "write a number of credits: threshold: 50")
	case r.Threshold.Default != nil && !r.Threshold.Provider:
		a.Report(a.at("default_threshold"), "is never used: threshold is a fixed number", "remove one of the two")
	}
}

func (l *loader) expires(a ruleAt, y *ruleYAML, r *Rule) {
	e, at := y.Expires, a.at("expires")
	given := 0
	for _, key := range []string{"after", "end_of", "at"} {
		if a.Has(at + "." + key) {
			given++
		}
	}
	switch {
	case refuses(r, "expires"):
		return
	case given > 1:
		a.Report(at, "says more than one thing", "keep one of after, end_of and at")
		return
	case a.Has(at+".timezone") && e.EndOf == nil:
		a.Report(at+".timezone", "is only for end_of", "remove it, or write end_of: month")
	}
	atLeast := shortestLife
	if e.AtLeast != nil {
		atLeast = time.Duration(*e.AtLeast)
	}
	switch {
	case e.After != nil:
		r.Expires.After = time.Duration(*e.After)
		if e.AtLeast != nil && r.Expires.After < atLeast {
			a.Report(at+".after", fmt.Sprintf("%s is less than at_least %s", *e.After, *e.AtLeast), "write a longer after, or remove at_least")
		}
	case e.EndOf != nil:
		r.Expires.EndOfMonth, r.Expires.AtLeast = true, atLeast
		r.Expires.Timezone = readTimezone(a, at, e.Timezone)
	case e.At != nil:
		moment := time.Time(*e.At).UTC()
		r.Expires.At = &moment
		switch {
		case r.Expires.Past(l.in.Now):
			a.Report(at+".at", "is in the past: the credits would be lost at once", "write a later moment, or after: 90d")
		case moment.Sub(l.in.Now) < atLeast:
			a.Warn(at+".at", fmt.Sprintf("is less than %s away: credits bought now are lost then", yamlfile.Duration(atLeast)), "write a later moment, or after: 90d")
		}
	case a.Has(at + ".at_least"):
		a.Report(at+".at_least", "belongs to an expiry", "add end_of: month or after: 90d, or remove it")
	}
}

// shortestLife is how long credits that expire with their month live at least,
// where the rule does not say. Two months of life are better than two seconds.
const shortestLife = 7 * 24 * time.Hour

func readTimezone(a ruleAt, at string, name *string) string {
	if name == nil {
		return "UTC"
	}
	if _, err := time.LoadLocation(*name); err != nil || *name == "Local" {
		a.Report(at+".timezone", fmt.Sprintf("%.60q is not a time zone", *name), "write a name such as Europe/Paris")
		return "UTC"
	}
	return *name
}

// checkTimes checks the durations against each other.
func checkTimes(a ruleAt, r *Rule) {
	show := func(d time.Duration) string { return yamlfile.Duration(d).String() }
	nearest := func(keys ...string) string {
		for _, key := range keys {
			if a.Has(a.at(key)) {
				return a.at(key)
			}
		}
		return a.path
	}
	if r.ConfirmAfter >= r.MaxReadingAge {
		a.ReportLine(nearest("confirm_after", "max_reading_age"),
			fmt.Sprintf("confirm_after %s is not less than max_reading_age %s", show(r.ConfirmAfter), show(r.MaxReadingAge)),
			"the first reading would be too old when the second is made")
	}
	if r.Declines.Backoff > r.Declines.MaxBackoff {
		a.ReportLine(nearest("declines.backoff", "declines.max_backoff"),
			fmt.Sprintf("backoff %s is more than max_backoff %s", show(r.Declines.Backoff), show(r.Declines.MaxBackoff)), "swap them")
	}
}

// checkTerms refuses a rule that no purchase could be stored with.
func checkTerms(a ruleAt, r Rule) {
	terms, err := r.Terms(topup.CustomerID(strings.Repeat("x", 300)))
	if err == nil && len(terms) <= MaxTerms {
		return
	}
	a.ReportLine(a.path, fmt.Sprintf("rule %q is too long to be kept with its purchases: %d characters without its lists of customers, more than %d", r.Name, len(terms), MaxTerms),
		"write fewer bundles, properties and caps, or several rules")
}

// distinct refuses two rules with one name: history and metrics could not tell
// them apart.
func (l *loader) distinct() {
	first := map[string]int{}
	for i, r := range l.set.Rules {
		if at, again := first[r.Name]; again && r.Name != "" {
			other := l.set.Rules[at]
			l.places[i].Report(l.places[i].at("name"), fmt.Sprintf("%q is also the rule at %s:%d", r.Name, other.File, other.Line), "give it another name")
			continue
		}
		first[r.Name] = i
	}
}

// version is the first 12 hexadecimal digits of a SHA-256 over the rule as
// JSON, without the place where it stands. Maps are written in order.
func version(r Rule) string {
	r.Version, r.File, r.Line = "", "", 0
	text, err := json.Marshal(r)
	if err != nil { // cannot happen: a rule is made of text, numbers and times
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}
