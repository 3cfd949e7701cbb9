package bench

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"text/template"
)

// The measures of a drawing, in its own units.
const (
	panelWidth = 330
	plotLeft   = 48
	plotTop    = 40
	plotWidth  = 264
	plotHeight = 150
	yTicks     = 4
)

// panel is one of the two plots of a drawing: a figure over the axis.
type panel struct {
	X      float64 // of its left edge
	Title  string
	Color  string
	Line   string // points of the polyline
	Marks  []mark
	YTicks []mark
}

// mark is a point with a text.
type mark struct {
	X, Y  float64
	Label string // along the axis
	Text  string // the figure
}

var drawing = template.Must(template.New("svg").Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 260" width="680" height="260" font-family="sans-serif" font-size="11" fill="#333">
<rect width="680" height="260" fill="#fff"/>
{{$axis := .Axis}}{{range .Panels}}<g transform="translate({{.X}} 0)">
<text x="48" y="22" font-size="13" font-weight="bold">{{.Title}}</text>
{{range .YTicks}}<path d="M48 {{.Y}}h264" stroke="#ddd"/><text x="43" y="{{.Y}}" dy="4" text-anchor="end">{{.Text}}</text>
{{end}}<polyline points="{{.Line}}" fill="none" stroke="{{.Color}}" stroke-width="2"/>
{{$color := .Color}}{{range .Marks}}<circle cx="{{.X}}" cy="{{.Y}}" r="3.5" fill="{{$color}}"/><text x="{{.X}}" y="{{.Y}}" dy="-7" text-anchor="middle" font-size="10">{{.Text}}</text>
<text x="{{.X}}" y="208" text-anchor="middle">{{.Label}}</text>
{{end}}<text x="180" y="230" text-anchor="middle">{{$axis}}</text>
</g>
{{end}}</svg>
`))

// writeCurves draws each curve into its own file of dir.
func writeCurves(dir string, curves []Curve) error {
	for _, c := range curves {
		var out bytes.Buffer
		if err := c.draw(&out); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "growth-"+c.Name+".svg"), out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// draw writes the curve as SVG: speed on the left, cost on the right, both
// from zero, so that flat looks flat. The places of the axis are evenly
// spaced: they grow by factors.
func (c *Curve) draw(out *bytes.Buffer) error {
	speed := c.panel("MB/s", "#1a6fb5", func(p Point) float64 { return p.Speed })
	cpu := c.panel("CPU-seconds per GiB", "#b5451a", func(p Point) float64 { return p.CPU })
	cpu.X = panelWidth + 10
	return drawing.Execute(out, map[string]any{"Axis": c.Axis, "Panels": []panel{speed, cpu}})
}

func (c *Curve) panel(title, color string, figure func(Point) float64) panel {
	p := panel{Title: title, Color: color}
	top := 0.0
	for _, v := range c.Points {
		top = max(top, figure(v))
	}
	top = ceiling(1.1 * top)
	y := func(v float64) float64 { return round1(plotTop + plotHeight*(1-v/top)) }
	for i := range yTicks + 1 {
		v := top * float64(i) / yTicks
		p.YTicks = append(p.YTicks, mark{Y: y(v), Text: value(v, "")})
		if top < 10*yTicks {
			p.YTicks[i].Text = f1(v)
		}
	}
	step := float64(plotWidth) / float64(max(len(c.Points), 1))
	var line bytes.Buffer
	for i, v := range c.Points {
		m := mark{X: round1(plotLeft + step*(float64(i)+0.5)), Y: y(figure(v)), Label: v.Label, Text: f1(figure(v))}
		if figure(v) >= 100 {
			m.Text = value(figure(v), "")
		}
		p.Marks = append(p.Marks, m)
		line.WriteString(f1(m.X) + "," + f1(m.Y) + " ")
	}
	p.Line = string(bytes.TrimSpace(line.Bytes()))
	return p
}

func round1(v float64) float64 { return math.Round(10*v) / 10 }

// ceiling is the next 1, 2, 4, 6 or 8 times a power of ten: an end of an
// axis whose quarters read well.
func ceiling(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 4, 6, 8} {
		if v <= f*power {
			return f * power
		}
	}
	return 10 * power
}
