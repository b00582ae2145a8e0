package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axe is the program that looks for barriers.
var axe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		return "", fmt.Errorf("the tests need axe-core: run npm ci in this folder: %w", err)
	}
	return string(text), nil
})

// violation is a barrier that axe has found.
type violation struct {
	ID, Help string
	Nodes    []struct {
		HTML           string
		FailureSummary string
	}
}

// allRules are the rules of WCAG 2.2 on the levels A and AA, and of good practice. colourRules are those of them
// that depend on the colours.
const (
	allRules    = `'wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'`
	colourRules = `'color-contrast', 'link-in-text-block'`
)

// world returns a world of scripts of its own in the page, with axe in it. The site forbids scripts in its pages.
func (t *tab) world() runtime.ExecutionContextID {
	t.Helper()
	program, err := axe()
	if err != nil {
		t.Fatal(err)
	}
	frame := cdp.FrameID(chromedp.FromContext(t.ctx).Target.TargetID)
	world := call(t, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: frame}).ExecutionContextID
	if e := call(t, runtime.Evaluate, runtime.EvaluateParams{Expression: program + "; true", ContextID: world}).ExceptionDetails; e != nil {
		t.Fatal(e.Text)
	}
	return world
}

// barriers returns what axe finds on the page by some rules.
func (t *tab) barriers(world runtime.ExecutionContextID, rules string) (found []string) {
	t.Helper()
	yes := true
	result := call(t, runtime.Evaluate, runtime.EvaluateParams{
		Expression: "axe.run(document, {resultTypes: ['violations'], runOnly: [" + rules + "]}).then(r => r.violations)", ContextID: world, AwaitPromise: &yes, ReturnByValue: &yes,
	})
	if result.ExceptionDetails != nil {
		t.Fatal(result.ExceptionDetails.Exception.Description)
	}
	var all []violation
	if err := json.Unmarshal(result.Result.Value, &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		for _, n := range v.Nodes {
			found = append(found, fmt.Sprintf("%s (%s):\n%s\n%s", v.Help, v.ID, n.HTML, n.FailureSummary))
		}
	}
	return found
}

// size sets the size of the window.
func (t *tab) size(width int64) {
	t.Helper()
	call(t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: high, DeviceScaleFactor: 1})
}

// width returns the width of the page, which may be more than that of the window.
func (t *tab) width() int {
	t.Helper()
	return eval[int](t, "document.documentElement.scrollWidth")
}

// fits reports an error if the page is wider than its window.
func (t *tab) fits(name string) {
	t.Helper()
	if got, width := t.width(), eval[int](t, "innerWidth"); got > width {
		beyond := eval[[]string](t, `[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth && !e.closest('.skip, .hidden')).map(e => e.outerHTML.slice(0, 200))`)
		t.Errorf("%s is %d pixels wide in a window of %d:\n%s", name, got, width, strings.Join(beyond, "\n"))
	}
}

// picture writes a picture of the page.
func (t *tab) picture(name string) {
	t.Helper()
	size := call(t, page.GetLayoutMetrics, cdp.Empty{}).CSSContentSize
	yes := true
	shot := call(t, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Clip: &page.Viewport{Width: size.Width, Height: size.Height, Scale: 1}, CaptureBeyondViewport: &yes,
	})
	if err := os.WriteFile(filepath.Join(t.site.pictures, name+".png"), shot.Data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// inspect looks at the page in each language, in light and dark colours, in a wide and a narrow window, and with
// text of double the size.
func (t *tab) inspect(name string) {
	t.Helper()
	t.look()
	for _, lang := range []string{"en", "de"} {
		full := name + "." + lang
		if lang != "en" {
			call(t, network.SetCookie, network.SetCookieParams{Name: "language", Value: lang, URL: t.site.base})
			t.reload()
		}
		if got := eval[string](t, "document.documentElement.lang"); got != lang {
			t.Errorf("%s is in the language %q", full, got)
		}
		if eval[int](t, "document.querySelectorAll('h1').length") != 1 || eval[string](t, "document.title") == "" {
			t.Errorf("%s has not one heading and one title", full)
		}
		if !eval[bool](t, "[...document.scripts].every(s => s.src == location.origin + '/static/passkey.js' && s.text == '')") {
			t.Errorf("%s has other scripts than that of passkeys", full)
		}
		world := t.world()
		for _, barrier := range t.barriers(world, allRules) {
			t.Errorf("%s: %s", full, barrier)
		}
		t.picture(full)
		if lang == "en" {
			t.colours("dark")
			for _, barrier := range t.barriers(world, colourRules) {
				t.Errorf("%s, dark: %s", full, barrier)
			}
			t.picture(full + ".dark")
			t.colours("light")
		}
		t.size(narrow)
		t.fits(full)
		t.picture(full + ".narrow")
		eval[string](t, "document.documentElement.style.fontSize = '200%'")
		t.fits(full + " in double size")
		t.size(wide)
	}
	call(t, network.DeleteCookies, network.DeleteCookiesParams{Name: "language", URL: t.site.base})
	t.reload()
}
