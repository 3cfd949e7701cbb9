//go:build e2e

package telemetry

import (
	"errors"
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	sdk "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Grafana's own types know every key of the dashboard, and miss none: what it
// does not know it would leave out silently.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile("../../../packaging/grafana/spoolship.json")
	if err != nil {
		t.Fatal(err)
	}
	plugins.RegisterDefaultPlugins()
	var d sdk.Dashboard //nolint:staticcheck // the schema of files that every Grafana imports
	err = d.UnmarshalJSONStrict(text)
	var problems cog.BuildErrors // not nil where there are none
	if errors.As(err, &problems) {
		for _, p := range problems {
			t.Error(p)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 30 {
		t.Errorf("%d panels", len(d.Panels))
	}
}
