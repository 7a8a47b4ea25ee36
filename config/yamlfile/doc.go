// Package yamlfile reads YAML files that people write by hand and tells them,
// all at once and with the line itself, what is wrong and what to write
// instead.
//
// It is strict: one document, no unknown or repeated keys, no aliases or merge
// keys, no explicit tags, no empty values, no durations without a unit. It
// never lets YAML guess a type: an id written as 0123 stays "0123", and numbers
// stay text until a type that knows what they mean reads them.
//
// It must never print a secret: neither the value of an environment variable
// nor anything that stands where a token, a password or a database URL belongs.
package yamlfile
