package rules

import (
	"regexp"
	"strings"

	"topupd/config/yamlfile"
	"topupd/topup"
)

// moneyText is an amount with its currency: "200.00 EUR".
type moneyText topup.Money

var (
	moneyForm      = regexp.MustCompile(`^-?[0-9]{1,15}(\.[0-9]{1,4})? [A-Za-z]{3}$`)
	currencyFirst  = regexp.MustCompile(`^([A-Za-z]{3}) *([0-9][0-9.]*)$`)
	withoutSpace   = regexp.MustCompile(`^([0-9][0-9.]*)([A-Za-z]{3})$`)
	onlyNumber     = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	thousandsComma = regexp.MustCompile(`^[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)? [A-Za-z]{3}$`)
	decimalComma   = regexp.MustCompile(`^[0-9]+,[0-9]{1,2} [A-Za-z]{3}$`)
)

// ReadText reads a plain decimal, a space and the currency. Nothing is rounded.
func (m *moneyText) ReadText(text string) error {
	money, err := topup.ParseMoney(text)
	if err == nil && moneyForm.MatchString(text) {
		*m = moneyText(money)
		return nil
	}
	fix := "write a decimal point and the currency: 200.00 EUR"
	switch {
	case decimalComma.MatchString(text):
		fix = "write a decimal point and the currency: " + strings.Replace(text, ",", ".", 1)
	case thousandsComma.MatchString(text):
		fix = "leave the thousands separators out: " + strings.ReplaceAll(text, ",", "")
	case currencyFirst.MatchString(text):
		fix = "write the currency after the amount: " + currencyFirst.ReplaceAllString(text, "$2 $1")
	case withoutSpace.MatchString(text):
		fix = "write a space before the currency: " + withoutSpace.ReplaceAllString(text, "$1 $2")
	case onlyNumber.MatchString(text):
		fix = "write the currency too: " + text + " EUR"
	case err != nil && moneyForm.MatchString(text):
		return &yamlfile.Fault{Is: "is not an amount: " + err.Error(), Fix: "write it as 200.00 EUR"}
	}
	return &yamlfile.Fault{Is: "is not an amount", Fix: fix}
}

// Form describes the text.
func (moneyText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: `^[0-9]+(\.[0-9]+)? [A-Za-z]{3}$`, Examples: []string{"200.00 EUR"}}
}

// thresholdText is "provider" or a number of credits.
type thresholdText struct {
	Provider bool
	Fixed    topup.Credits
}

// ReadText reads the word or the number.
func (t *thresholdText) ReadText(text string) error {
	if text == "provider" {
		*t = thresholdText{Provider: true}
		return nil
	}
	var c creditsText
	if err := c.ReadText(text); err != nil {
		return &yamlfile.Fault{Is: "is not a threshold", Fix: "write provider, or a number of credits such as 50"}
	}
	*t = thresholdText{Fixed: topup.Credits(c)}
	return nil
}

// Form describes the text.
func (thresholdText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: `^(provider|[0-9]+(\.[0-9]{1,6})?)$`, Number: true, Examples: []string{"provider", "50"}}
}

// refillText is "3x threshold", or a number of credits with or without the
// word.
type refillText Refill

var (
	timesForm   = regexp.MustCompile(`^([0-9]{1,4}(?:\.[0-9]{1,6})?)x threshold$`)
	creditsForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(?: credits)?$`)
)

// maxTimes bounds the factor, inclusive.
const maxTimes = 1000 * topup.Credit

// ReadText reads a factor above 1 and up to 1000, or credits above 0.
func (r *refillText) ReadText(text string) error {
	wrong := &yamlfile.Fault{Is: "is not a balance to refill to", Fix: "write 3x threshold, or 600 credits"}
	if m := timesForm.FindStringSubmatch(text); m != nil {
		times, err := topup.ParseCredits(m[1])
		if err != nil {
			return wrong
		}
		if times <= topup.Credit || times > maxTimes {
			return &yamlfile.Fault{Is: "does not lift a balance above its threshold", Fix: "write a factor above 1 and up to 1000: 3x threshold"}
		}
		*r = refillText{TimesThreshold: times}
		return nil
	}
	m := creditsForm.FindStringSubmatch(text)
	var c creditsText
	if m == nil || c.ReadText(m[1]) != nil || c == 0 {
		return wrong
	}
	*r = refillText{Credits: topup.Credits(c)}
	return nil
}

// Form describes the text.
func (refillText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: `^([0-9.]+x threshold|[0-9.]+( credits)?)$`, Number: true, Examples: []string{"3x threshold", "600 credits"}}
}
