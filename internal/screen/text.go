package screen

// Clipped is a text of a person's or a provider's for a sentence: a long id must
// not hide what is said about it.
func Clipped(text string) string { return Snip(Printable(text), 80) }

// Given is a text that may be missing; "" for none.
func Given(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
