package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// copied dumps the place's database and restores it into a new one, as a backup
// that is put back or a copy for staging would, and returns the URL of that.
func (k *killing) copied() string {
	k.t.Helper()
	bin := os.Getenv("TOPUPD_TEST_POSTGRES_BIN")
	if bin == "" {
		k.t.Fatal("TOPUPD_TEST_POSTGRES_BIN names no folder with pg_dump: run make test, or scripts/test-postgres go test ./e2e")
	}
	var dump, errs bytes.Buffer
	save := exec.Command(filepath.Join(bin, "pg_dump"), "--no-owner", "--dbname="+k.db)
	save.Stdout, save.Stderr = &dump, &errs
	if err := save.Run(); err != nil {
		k.t.Fatalf("pg_dump: %v: %s", err, errs.String())
	}
	fresh := postgresURL(k.t)
	restore := exec.Command(filepath.Join(bin, "psql"), "--quiet", "--set=ON_ERROR_STOP=1", "--output="+os.DevNull, "--dbname="+fresh)
	restore.Stdin, restore.Stderr = &dump, &errs
	if err := restore.Run(); err != nil {
		k.t.Fatalf("psql: %v: %s", err, errs.String())
	}
	return fresh
}

// moveTo lets what starts from now on use another database.
func (k *killing) moveTo(db string) {
	k.t.Helper()
	k.edit("topupd.yml", k.db, db)
	k.db = db
}

// TestAnOldBackupIsPutBack: P18, P19. The ledger is replaced by one from before
// the last purchases. What starts on it notices, buys nothing until the provider's
// books were read, and then knows every purchase again.
func TestAnOldBackupIsPutBack(t *testing.T) {
	t.Parallel()
	k := newTrial(t, postgresURL(t), steady(60), forgetful())
	d := k.started()
	k.buys(10, "purchases that are in the backup")
	backup := k.copied()
	k.buys(10, "purchases that are not")
	d.kill()
	k.moveTo(backup)
	restored := time.Now()
	d = k.started()
	k.quarantined(d)
	k.forgetsNothing(restored, d)
}

// TestACopyWithTheLiveKey: P18. Somebody starts a copy of the ledger with its
// live configuration, while the original goes on. The copy buys nothing, neither
// at once nor later, because it sees in the books that another buys; it says so,
// and the original is not disturbed.
func TestACopyWithTheLiveKey(t *testing.T) {
	t.Parallel()
	k := newTrial(t, postgresURL(t), steady(60), forgetful())
	original := k.db
	d := k.started()
	k.buys(10, "purchases before the copy")
	staging := k.copied()
	k.moveTo(staging)
	permits := k.counted(`SELECT count(*) FROM permit`)
	twin := k.started()
	k.quarantined(twin)
	until(t, 2*time.Minute, "the copy to see that another buys, and to wait for a person", func() bool {
		return k.counted(`SELECT count(*) FROM provider WHERE quarantine_held = 1`) == 1
	})
	k.buys(10, "the original's purchases, undisturbed")
	if n := k.counted(`SELECT count(*) FROM permit`); n != permits {
		t.Errorf("the copy permitted %d purchases", n-permits)
	}
	if why := k.rows(`SELECT quarantined FROM provider`)[0][0]; !strings.Contains(why, "not by this installation") || !strings.Contains(why, "topupd resume --provider hyperline") {
		t.Errorf("the copy says only: %s", why)
	}
	if code := twin.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	k.moveTo(original)
	k.over(d)
}
