//go:build e2e

package hostile

import (
	"fmt"
	"testing"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// After changes of the key template, an audit counts the objects of all of them.
func TestAuditAfterTemplateChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	const earlier, now = "old/{input}/{queue}-{chunk}-{records}-{id}{ext}", "{input}/{date}/{chunk}.{records}.{id}.{queue}{ext}"
	for i, key := range []string{"", earlier, now} {
		line := ""
		if key != "" {
			line = fmt.Sprintf("key = %q\n", key)
		}
		w.configure("[s3]\n", "[s3]\n"+line)
		w.log(fmt.Sprintf("%d.log", i), events(10))
		w.command("run", "--once").exits(0)
	}
	blind := w.command("audit").exits(3)
	hinted := matching(blind.err.String(), []string{"spoolship: hint: 1 foreign key has the form of an agent's", "--key"}) == 1
	knowing := w.command("audit", "--key", earlier).exits(0)
	row(t, blind.code() == 3 && hinted && knowing.code() == 0, "audit after the key template was changed twice",
		fmt.Sprintf("exit code %d with the cause; with --key %d", blind.code(), knowing.code()), "3 with the cause; with --key 0")
	w.command("audit", "--deep", "--state", "--key", earlier).exits(0)
	if cat := w.command("cat", "--key", earlier).exits(0); matching(cat.out.String(), []string{"event"}) != 30 {
		t.Errorf("cat prints %s", cat.out.String())
	}
	w.configure("[s3]\n", "[s3]\nprefix = \"p/\"\n")
	w.log("3.log", events(10))
	w.command("run", "--once").exits(0)
	w.command("audit").exits(3).complaint("spoolship: error: ", "not complete")
	w.command("audit", "--key", "{nonsense}").exits(2).complaint("spoolship: error: ", "key template", "{nonsense}")
}
