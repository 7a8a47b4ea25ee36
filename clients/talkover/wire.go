package talkover

import (
	"fmt"
	"strconv"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// What a page shows in its example is required here, since most pages have no
// list of fields. These readers say why a value cannot be used, in words that
// explain can print.

func needFlag(o clients.Object, key string) (bool, error) {
	value, ok := o.Bool(key)
	if !ok {
		return false, unlike(o, key, "true or false")
	}
	return value, nil
}

func needText(o clients.Object, key string) (string, error) {
	text := o.Text(key)
	if text == "" {
		return "", unlike(o, key, "a text")
	}
	return text, nil
}

func needID(o clients.Object, key string) (string, error) {
	id := o.ID(key)
	if id == "" {
		return "", unlike(o, key, "an id of 1 to 128 printable characters")
	}
	return id, nil
}

// needTime takes whole seconds, as billing pages show them, and the six decimals
// of the webhook pages.
func needTime(o clients.Object, key string) (time.Time, error) {
	at := o.Time(key)
	if at.IsZero() {
		return time.Time{}, unlike(o, key, "a time such as 2024-01-15T19:30:00Z")
	}
	return at, nil
}

func needObject(o clients.Object, key string) (clients.Object, error) {
	inner, ok := o.Object(key)
	if !ok {
		return clients.Object{}, unlike(o, key, "an object")
	}
	return inner, nil
}

// needCount is a whole number that is not negative.
func needCount(o clients.Object, key string) (int, error) {
	text, err := o.NumberText(key)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, unlike(o, key, "a count")
	}
	return n, nil
}

// needCredits and needMoney take a number or a string: billing examples show
// numbers, but money elsewhere in the API is a string (Talkover docs,
// list-voice-templates, read 2026-11-20).
func needCredits(o clients.Object, key string) (topup.Credits, error) {
	text, err := o.NumberText(key)
	if err != nil {
		return 0, err
	}
	credits, err := topup.ParseCredits(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	return credits, nil
}

func needMoney(o clients.Object, key string, cur topup.Currency) (topup.Money, error) {
	text, err := o.NumberText(key)
	if err != nil {
		return topup.Money{}, err
	}
	money, err := topup.ParseAmount(text, cur)
	if err != nil {
		return topup.Money{}, fmt.Errorf("%s: %w", key, err)
	}
	return money, nil
}

func needCurrency(o clients.Object) (topup.Currency, error) {
	code, err := needText(o, "currency")
	if err != nil {
		return "", err
	}
	cur, err := topup.ParseCurrency(code)
	if err != nil {
		return "", fmt.Errorf("currency: %w", err)
	}
	return cur, nil
}

// unlike says what stands where something else should.
func unlike(o clients.Object, key, want string) error {
	switch {
	case !o.Present(key):
		return fmt.Errorf("%s is missing", key)
	case o.Twice(key):
		return fmt.Errorf("%s is there twice", key)
	case !o.Has(key):
		return fmt.Errorf("%s is null", key)
	default:
		return fmt.Errorf("%s is %.60q, not %s", key, o.Raw(key), want)
	}
}

// maxID bounds the ids that we send, in bytes, inclusive; those of the
// documentation have 9 to 36.
const maxID = 128

func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
