package ledgertest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/lib/pq" // the driver "postgres"
)

// Postgres returns the DSN of a fresh, empty schema on the server that
// TOPUPD_TEST_POSTGRES names, and drops the schema when the test ends. Without
// a server the test fails: what is not tested on PostgreSQL is not tested.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv("TOPUPD_TEST_POSTGRES")
	if server == "" {
		t.Fatal("TOPUPD_TEST_POSTGRES names no server: run make test, or scripts/test-postgres go test ./ledger/...")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("TOPUPD_TEST_POSTGRES is not a URL: %v", err)
	}
	schema := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	execute(t, server, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { execute(t, server, "DROP SCHEMA "+schema+" CASCADE") })
	q := u.Query()
	q.Set("search_path", schema) // alone: nothing falls back to a shared schema
	u.RawQuery = q.Encode()
	return u.String()
}

func execute(t testing.TB, dsn, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // the test's own context is over in Cleanup
	defer cancel()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Errorf("%s: %v", fmt.Sprintf("%.40s", statement), err)
	}
}
