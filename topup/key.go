package topup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
)

// NewID makes the id of a purchase: a UUIDv7, so that ids sort by time.
func NewID() (string, error) { return newUUID(uuid.NewV7) }

// NewKey makes an idempotency key: a random UUIDv4. Never a sequence, the
// amount or anything else that a restored database could hand out twice: the
// provider would answer with another purchase's result.
func NewKey() (string, error) { return newUUID(uuid.NewRandom) }

// NewToken makes a permit token, the sender's proof that a permit is its own.
func NewToken() (string, error) { return newUUID(uuid.NewRandom) }

func newUUID(make func() (uuid.UUID, error)) (string, error) {
	id, err := make()
	if err != nil {
		return "", fmt.Errorf("drawing random bytes: %w", err)
	}
	return id.String(), nil
}

// Fingerprint is the SHA-256, in hex, of what a key stands for: method, path
// and body, each with its length so that no two requests can share one.
func (r Request) Fingerprint() string {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(r.Method), []byte(r.Path), r.Body} {
		_, _ = fmt.Fprintf(h, "%d:", len(part)) // a hash never fails to write
		_, _ = h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}
