package chunk

import "testing"

func BenchmarkParseKey(b *testing.B) {
	_, p := parser(b, defaultTemplate, "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Parse("app/dt=2026-01-02/hour=03/web-1-" + rest + ".ndjson.gz"); err != nil {
			b.Fatal(err)
		}
	}
}
