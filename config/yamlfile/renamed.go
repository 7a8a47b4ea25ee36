package yamlfile

// renamed are keys and words of earlier drafts of the YAML, with what they are
// called now. A later release can delete this file.
var renamed = map[string]string{
	"sweep":   "poll",
	"unclear": "unknown_outcome",
	"replay":  "retry",
	"park":    "review",
	"low":     "below_threshold",
}
