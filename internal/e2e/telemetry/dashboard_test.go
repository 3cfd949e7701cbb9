//go:build e2e

package telemetry

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// dashboard is what the tests look at of Grafana's JSON.
type dashboard struct {
	Title, UID string
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type        string
	Title       string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ Type, UID string }
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Targets []struct {
		RefID, Expr, LegendFormat string
		Datasource                struct{ Type, UID string }
	}
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile("../../../packaging/grafana/spoolship.json")
	if err != nil {
		t.Fatal(err)
	}
	d := &dashboard{}
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || len(d.Panels) < 30 {
		t.Fatalf("dashboard %q (%s) has %d panels", d.Title, d.UID, len(d.Panels))
	}
	return d
}

// documented returns the metrics of docs/metrics.md, which is tested against
// the code, and the labels of each.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	has := make(map[string][]string)
	for _, m := range metricRow.FindAllStringSubmatch(string(page), -1) {
		names, labels := []string{m[1]}, append(strings.Split(m[3], ", "), "job", "instance")
		if m[2] == "histogram" {
			names, labels = []string{m[1] + "_bucket", m[1] + "_sum", m[1] + "_count"}, append(labels, "le")
		}
		for _, name := range names {
			has[name] = labels
		}
	}
	if len(has) < 40 {
		t.Fatalf("only %d metrics in the page", len(has))
	}
	return has
}

var (
	metricRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([a-z, ]*) \\|")
	foreign   = regexp.MustCompile(`^(process|go)_`) // agent.TestMetricsInUse knows these
)

// variables stand for what Grafana puts in.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h", "$instance", ".+", "$input", ".+")

// Every panel asks, in expressions that Prometheus understands, for metrics and
// labels that the agent has.
func TestExpressions(t *testing.T) {
	has := documented(t)
	p := parser.NewParser(parser.Options{})
	for _, panel := range readDashboard(t).Panels {
		if panel.Type == "row" {
			continue
		}
		if len(panel.Targets) == 0 || panel.FieldConfig.Defaults.Unit == "" {
			t.Errorf("panel %q has no question, or no unit", panel.Title)
		}
		for _, target := range panel.Targets {
			expr, err := p.ParseExpr(variables.Replace(target.Expr))
			if err != nil {
				t.Errorf("panel %q: %s: %v", panel.Title, target.Expr, err)
				continue
			}
			if panel.Datasource.UID != "${datasource}" || target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q asks another data source than the chosen one", panel.Title)
			}
			checkSelectors(t, panel.Title, expr, has)
		}
	}
}

// checkSelectors looks at every metric that is asked for, at its labels, and at
// those that results are grouped by.
func checkSelectors(t *testing.T, title string, expr parser.Expr, has map[string][]string) {
	t.Helper()
	selectors := 0
	parser.Inspect(expr, func(n parser.Node, above []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		selectors++
		known, ok := has[s.Name]
		if foreign.MatchString(s.Name) {
			known, ok = []string{"job", "instance"}, true
		}
		if !ok {
			t.Errorf("panel %q: there is no metric %s", title, s.Name)
			return nil
		}
		var used []string
		for _, m := range s.LabelMatchers {
			used = append(used, m.Name)
		}
		if !slices.Contains(used, "instance") {
			t.Errorf("panel %q: %s is asked for all instances", title, s.Name)
		}
		for _, n := range above {
			if a, ok := n.(*parser.AggregateExpr); ok {
				used = append(used, a.Grouping...)
			}
		}
		for _, label := range used {
			if label != "__name__" && !slices.Contains(known, label) {
				t.Errorf("panel %q: %s has no label %s", title, s.Name, label)
			}
		}
		return nil
	})
	if selectors == 0 {
		t.Errorf("panel %q asks for nothing", title)
	}
}

// Panels have ids and places of their own, and variables are there.
func TestLayout(t *testing.T) {
	d := readDashboard(t)
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %q has the id %d of another, or none, or no title", p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("panel %q is at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, there := taken[[2]int{x, y}]; there {
					t.Fatalf("panels %q and %q overlap", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
	}
	if want := []string{"datasource", "instance", "input"}; !slices.Equal(names, want) {
		t.Errorf("variables %q, want %q", names, want)
	}
}
