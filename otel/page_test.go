package latchkeyotel_test

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v3"

	latchkeyotel "example.com/latchkey/otel"
)

// series are the names of time series in Prometheus, with their labels.
type series map[string]map[string]bool

// scraped returns the metrics of all observations: as rows of the page, and as Prometheus gets them.
func scraped(t *testing.T) (rows []string, names series) {
	t.Helper()
	reader, registry := sdk.NewManualReader(), prometheus.NewRegistry()
	toPrometheus, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		t.Fatal(err)
	}
	observer, err := latchkeyotel.New(latchkeyotel.Options{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader), sdk.WithReader(toPrometheus))})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range everything {
		observer.Observe(t.Context(), o)
	}
	observer.Commit(1, time.Second)
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	families, names := readSeries(answer.Body.String())
	for _, m := range describe(collect(t, reader)) {
		name := strings.ReplaceAll(m[0], ".", "_")
		i := slices.IndexFunc(families, func(f string) bool {
			rest, is := strings.CutPrefix(f, name)
			return is && slices.Contains([]string{"", "_seconds", "_total"}, rest)
		})
		if i < 0 {
			t.Fatalf("%s is not among %q", m[0], families)
		}
		rows = append(rows, strings.Join(append(m, families[i]), "|"))
	}
	return rows, names
}

var (
	familyLine = regexp.MustCompile(`(?m)^# TYPE (latchkey\w+) `)
	seriesLine = regexp.MustCompile(`(?m)^(latchkey\w+)\{(.*)\} `)
	labelName  = regexp.MustCompile(`(\w+)="`)
)

// readSeries reads the text that Prometheus gets.
func readSeries(text string) (families []string, names series) {
	for _, f := range familyLine.FindAllStringSubmatch(text, -1) {
		families = append(families, f[1])
	}
	names = make(series)
	for _, line := range seriesLine.FindAllStringSubmatch(text, -1) {
		if names[line[1]] == nil {
			names[line[1]] = make(map[string]bool)
		}
		for _, label := range labelName.FindAllStringSubmatch(line[2], -1) {
			names[line[1]][label[1]] = true
		}
	}
	return families, names
}

// describe returns name, kind, unit and attributes of each metric.
func describe(points []point) (metrics [][]string) {
	attrs, all := make(map[string]map[attribute.Key]bool), make(map[string]metricdata.Metrics)
	for _, p := range points {
		all[p.metric.Name] = p.metric
		if attrs[p.metric.Name] == nil {
			attrs[p.metric.Name] = make(map[attribute.Key]bool)
		}
		for _, a := range p.attrs.ToSlice() {
			attrs[p.metric.Name][a.Key] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		kind := map[bool]string{true: "histogram", false: "gauge"}[isHistogram(all[name])]
		if sum, is := all[name].Data.(metricdata.Sum[int64]); is && sum.IsMonotonic {
			kind = "counter"
		}
		var keys []string
		for _, k := range slices.Sorted(maps.Keys(attrs[name])) {
			keys = append(keys, string(k))
		}
		metrics = append(metrics, []string{name, kind, all[name].Unit, strings.Join(keys, ", ")})
	}
	return metrics
}

func isHistogram(m metricdata.Metrics) bool {
	switch m.Data.(type) {
	case metricdata.Histogram[float64], metricdata.Histogram[int64]:
		return true
	}
	return false
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns a section of the page.
func section(t *testing.T, name string) string {
	t.Helper()
	_, text, found := strings.Cut(readFile(t, "observing.md"), "\n## "+name+"\n")
	if !found {
		t.Fatalf("the page has no section %s", name)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

func TestThePageHasEveryMetric(t *testing.T) {
	want, _ := scraped(t)
	var have []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`latchkey.*) \\|$").FindAllStringSubmatch(section(t, "Metrics"), -1) {
		cells := strings.Split(strings.ReplaceAll(row[1], "`", ""), " | ")
		if len(cells) == 6 { // the other table is of attributes
			have = append(have, strings.Join(cells[:5], "|"))
		}
	}
	for _, row := range slices.Concat(have, want) {
		if inPage, inCode := slices.Contains(have, row), slices.Contains(want, row); inPage != inCode {
			t.Errorf("%s: in the page %v, in the code %v", row, inPage, inCode)
		}
	}
}

// use returns the names of the series that an expression uses. It fails if the code makes no such
// series, or none with such a label.
func (s series) use(t *testing.T, where, text string) (used []string) {
	t.Helper()
	expr, err := metricsql.Parse(text)
	if err != nil {
		t.Errorf("%s: %v\n%s", where, err, text)
		return nil
	}
	labels := make(map[string]bool)
	check := func(label string) {
		if !labels[label] {
			t.Errorf("%s: no series has the label %s", where, label)
		}
	}
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		m, is := e.(*metricsql.MetricExpr)
		if !is {
			return
		}
		for _, filters := range m.LabelFilterss {
			name := filters[0].Value
			if filters[0].Label != "__name__" || s[name] == nil {
				t.Errorf("%s: there is no series %s", where, name)
			}
			used = append(used, name)
			maps.Copy(labels, s[name])
			for _, f := range filters[1:] {
				if !s[name][f.Label] && f.Label != "job" {
					t.Errorf("%s: %s has no label %s", where, name, f.Label)
				}
			}
		}
	})
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		if a, is := e.(*metricsql.AggrFuncExpr); is {
			for _, label := range a.Modifier.Args {
				check(label)
			}
		}
	})
	if len(used) == 0 {
		t.Errorf("%s uses no series", where)
	}
	return used
}

func TestAlertsAreAboutMetricsThatExist(t *testing.T) {
	_, names := scraped(t)
	_, text, _ := strings.Cut(section(t, "Alerts"), "```yaml\n")
	text, _, _ = strings.Cut(text, "\n```")
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &rules); err != nil || len(rules.Groups) != 1 {
		t.Fatal(err, len(rules.Groups))
	}
	found := make(map[string]bool)
	for _, r := range rules.Groups[0].Rules {
		names.use(t, r.Alert, r.Expr)
		if found[r.Alert] || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: %+v", r.Alert, r)
		}
		found[r.Alert] = true
	}
	if len(found) < 10 {
		t.Errorf("%d alerts", len(found))
	}
}

// dashboard is the part of Grafana's model that the test looks at.
type dashboard struct {
	SchemaVersion int
	Title, UID    string
	Templating    struct {
		List []struct {
			Name, Type string
			Query      any // the variable of the job has an object
		}
	}
	Panels []struct {
		ID          int
		Type, Title string
		Description string
		Datasource  struct{ Type, UID string }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, RefID string }
	}
}

func TestTheDashboardShowsEveryMetricAndNoOther(t *testing.T) {
	rows, names := scraped(t)
	var d dashboard
	if err := json.Unmarshal([]byte(readFile(t, "grafana.json")), &d); err != nil {
		t.Fatal(err)
	}
	if vars := d.Templating.List; d.SchemaVersion < 36 || d.Title == "" || len(vars) == 0 || vars[0].Name != "datasource" || vars[0].Type != "datasource" || vars[0].Query != "prometheus" {
		t.Errorf("%d %q %+v", d.SchemaVersion, d.Title, vars)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$job", ".*")
	ids, used := make(map[int]bool), make(map[string]bool)
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%+v", p)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if p.Datasource.UID != "${datasource}" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("%+v", p)
		}
		for _, target := range p.Targets {
			for _, name := range names.use(t, p.Title, variables.Replace(target.Expr)) {
				used[name] = true
			}
		}
	}
	for _, row := range rows {
		family := strings.Split(row, "|")[4]
		if !used[family] && !used[family+"_bucket"] && !used[family+"_count"] {
			t.Errorf("no panel shows %s", family)
		}
	}
}
