package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The size of a window, and the width of a small phone.
const (
	wide, high = 1000, 800
	narrow     = 360
)

// patience is how long a tab waits for the browser.
const patience = 20 * time.Second

// tab is a tab of a user's browser. Its methods do what a user does, and end the test if the page does not let
// them. They find a link, a button or a field by its accessible name, as a screen reader does.
type tab struct {
	*testing.T
	site *site
	ctx  context.Context
	id   cdp.BrowserContextID

	front    **tab // the tab of the browser that the user looks at
	mu       sync.Mutex
	heard    chan struct{} // closed and replaced at each event
	current  cdp.LoaderID  // the document that was loaded last
	statuses map[cdp.LoaderID]int
	restored int      // documents that came out of the cache of the back button
	faults   []string // requests to elsewhere, and complaints of the browser
	forgiven bool     // the faults are those that the test wants
}

// newTab opens a tab.
func newTab(s *site, parent context.Context, options ...chromedp.ContextOption) *tab {
	s.t.Helper()
	t := &tab{T: s.t, site: s, front: new(*tab), heard: make(chan struct{}), statuses: make(map[cdp.LoaderID]int)}
	ctx, cancel := chromedp.NewContext(parent, append(options, chromedp.WithListener(t.hear))...)
	t.ctx = ctx
	s.t.Cleanup(func() {
		cancel()
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, fault := range t.faults {
			if !t.forgiven {
				t.Error(fault)
			}
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	call(t, audits.Enable, cdp.Empty{})
	t.id = chromedp.FromContext(ctx).BrowserContextID
	return t
}

// hear records the loads of documents and everything that no page of the site may do.
func (t *tab) hear(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() {
		close(t.heard)
		t.heard = make(chan struct{})
	}()
	fault := func(format string, values ...any) { t.faults = append(t.faults, fmt.Sprintf(format, values...)) }
	switch e := event.(type) {
	case *page.EventLifecycleEvent:
		if e.Name == "load" {
			t.current = e.LoaderID
		}
	case *page.EventFrameNavigated:
		if e.Type == page.NavigationTypeBackForwardCacheRestore {
			t.restored++
			t.current = e.Frame.LoaderID
		}
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			t.statuses[e.LoaderID] = int(e.Response.Status)
		} else if e.Response.Status >= 400 {
			fault("status %d of %s", e.Response.Status, e.Response.URL)
		}
	case *network.EventRequestWillBeSent:
		if !t.site.owns(e.Request.URL) {
			fault("a request leaves the site: %s", e.Request.URL)
		}
		passkeys := e.Type == network.ResourceTypeScript && e.Request.URL == t.site.base+"/static/passkey.js" ||
			e.Type == network.ResourceTypeFetch && strings.HasSuffix(e.Request.URL, "/passkey/ask")
		if !passkeys && e.Type != network.ResourceTypeDocument && e.Type != network.ResourceTypeStylesheet && e.Type != network.ResourceTypeImage && e.Type != network.ResourceTypeOther {
			fault("a page loads a %s: %s", e.Type, e.Request.URL)
		}
	case *log.EventEntryAdded:
		// The browser writes a line for each page with an error, which is no fault of the page.
		// After a sign-out it tells that it has forgotten its pages.
		document := strings.HasPrefix(e.Entry.Text, "Failed to load resource: the server responded with a status of 4")
		if !document && !strings.HasPrefix(e.Entry.Text, "Clear-Site-Data header on ") {
			fault("the browser says of %s: %s", e.Entry.URL, e.Entry.Text)
		}
	case *audits.EventIssueAdded:
		// A service through which the browser passes without a page looks like a tracker to it.
		if e.Issue.Code != audits.InspectorIssueCodeBounceTrackingIssue {
			details, _ := json.Marshal(e.Issue.Details) // it came as JSON
			fault("the browser has an issue: %s %s", e.Issue.Code, details)
		}
	case *runtime.EventConsoleAPICalled:
		fault("a script writes to the console: %s", e.Type)
	case *runtime.EventExceptionThrown:
		fault("a script fails: %s", e.ExceptionDetails.Text)
	}
}

// call runs a command of the protocol.
func call[P, R any](t *tab, command cdp.Command[P, R], params P) R {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// look brings the tab to the front.
func (t *tab) look() {
	t.Helper()
	if *t.front != t {
		*t.front = t
		call(t, page.BringToFront, cdp.Empty{})
	}
}

// follow does something that leads to another document, waits until it is loaded, and returns its status.
func (t *tab) follow(do func()) int {
	t.Helper()
	t.mu.Lock()
	former, restored := t.current, t.restored
	t.mu.Unlock()
	do()
	late := time.After(patience)
	for {
		t.mu.Lock()
		current, heard, status := t.current, t.heard, t.statuses[t.current]
		there := current != former || t.restored != restored
		t.mu.Unlock()
		if there {
			return status
		}
		select {
		case <-heard:
		case <-late:
			t.Fatalf("no page is loaded after %s, which shows:\n%s", t.address(), t.text())
		}
	}
}

// open goes to a page of the site, or to a link of a mail, and returns the status.
func (t *tab) open(address string) int {
	t.Helper()
	if strings.HasPrefix(address, "/") {
		address = t.site.base + address
	}
	t.look()
	return t.follow(func() { call(t, page.Navigate, page.NavigateParams{URL: address}) })
}

// back presses the back button.
func (t *tab) back() int {
	t.Helper()
	history := call(t, page.GetNavigationHistory, cdp.Empty{})
	entry := history.Entries[history.CurrentIndex-1]
	return t.follow(func() {
		call(t, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: entry.ID})
	})
}

// reload loads the page again.
func (t *tab) reload() int {
	t.Helper()
	return t.follow(func() { call(t, page.Reload, page.ReloadParams{}) })
}

// eval returns the value of an expression, which the browser's tools work out. It works without scripts.
func eval[T any](t *tab, expression string) (value T) {
	t.Helper()
	yes := true
	result := call(t, runtime.Evaluate, runtime.EvaluateParams{Expression: expression, ReturnByValue: &yes, AwaitPromise: &yes})
	if result.ExceptionDetails != nil {
		t.Fatalf("%s: %s", expression, result.ExceptionDetails.Exception.Description)
	}
	if err := json.Unmarshal(result.Result.Value, &value); err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// text returns the text that the page shows.
func (t *tab) text() string {
	t.Helper()
	return eval[string](t, "document.body.innerText")
}

// address returns the address of the page.
func (t *tab) address() *url.URL {
	t.Helper()
	u, err := url.Parse(eval[string](t, "location.href"))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// shows ends the test unless the page has all of the texts.
func (t *tab) shows(texts ...string) {
	t.Helper()
	all := t.text()
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Fatalf("%s does not show %q but:\n%s", t.address(), text, all)
		}
	}
}

// lacks ends the test if the page has one of the texts.
func (t *tab) lacks(texts ...string) {
	t.Helper()
	all := t.text()
	for _, text := range texts {
		if strings.Contains(all, text) {
			t.Fatalf("%s shows %q:\n%s", t.address(), text, all)
		}
	}
}

// at ends the test unless the page has that path.
func (t *tab) at(path string) {
	t.Helper()
	if u := t.address(); u.Path != path || "http://"+u.Host != t.site.base {
		t.Fatalf("the page is %s, want %s:\n%s", u, path, t.text())
	}
}

// find returns the elements with a role and an accessible name: those of the main part of the page, or else those
// of the whole page.
func (t *tab) find(name string, roles ...string) (found []*accessibility.Node) {
	t.Helper()
	t.look()
	for _, selector := range []string{"main", "body"} {
		part := call(t, runtime.Evaluate, runtime.EvaluateParams{Expression: "document.querySelector('" + selector + "')"}).Result.ObjectID
		if part == "" {
			continue
		}
		nodes := call(t, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{ObjectID: part, AccessibleName: name}).Nodes
		nodes = slices.DeleteFunc(nodes, func(n *accessibility.Node) bool {
			return n.Ignored || !slices.Contains(roles, strings.Trim(string(n.Role.Value), `"`))
		})
		if len(nodes) > 0 {
			return nodes
		}
	}
	return nil
}

// one returns the only element with a role and an accessible name.
func (t *tab) one(name string, roles ...string) cdp.BackendNodeID {
	t.Helper()
	nodes := t.find(name, roles...)
	if len(nodes) != 1 {
		t.Fatalf("%s has %d of %q (%s):\n%s", t.address(), len(nodes), name, strings.Join(roles, ", "), t.text())
	}
	return cdp.BackendNodeID(nodes[0].BackendDOMNodeID)
}

// press clicks in the middle of an element, after it was scrolled to. It ends the test if another element covers it.
func (t *tab) press(node cdp.BackendNodeID) {
	t.Helper()
	t.look()
	call(t, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: node})
	quads := call(t, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: node}).Quads
	if len(quads) == 0 {
		t.Fatalf("an element of %s takes no room", t.address())
	}
	q := quads[0]
	x, y := (q[0]+q[4])/2, (q[1]+q[5])/2
	for _, kind := range []input.DispatchMouseEventType{input.DispatchMouseEventTypeMouseMoved, input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased} {
		e := input.DispatchMouseEventParams{Type: kind, X: x, Y: y}
		if kind != input.DispatchMouseEventTypeMouseMoved {
			e.Button, e.ClickCount = input.MouseButtonLeft, 1
		}
		call(t, input.DispatchMouseEvent, e)
	}
}

// click clicks a link or a button, and returns the status of the page to which it leads.
func (t *tab) click(name string) int {
	t.Helper()
	node := t.one(name, "link", "button")
	return t.follow(func() { t.press(node) })
}

// submit sends the form of the field that was written last, by the Enter key.
func (t *tab) submit() int {
	t.Helper()
	return t.follow(func() { t.key(kb.Enter) })
}

// key presses a key.
func (t *tab) key(key string) {
	t.Helper()
	t.look()
	if err := chromedp.Do(t.ctx, chromedp.KeyEvent(key)); err != nil {
		t.Fatal(err)
	}
}

// unfold opens a part of the page that is folded.
func (t *tab) unfold(name string) {
	t.Helper()
	t.press(t.one(name, "DisclosureTriangle"))
}

// tick clicks a box.
func (t *tab) tick(name string) {
	t.Helper()
	t.press(t.one(name, "checkbox"))
}

// write clicks a field, and replaces its text.
func (t *tab) write(name, text string) {
	t.Helper()
	t.press(t.one(name, "textbox", "searchbox"))
	call(t, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Key: "a", Commands: []string{"selectAll"}})
	call(t, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: "a"})
	call(t, input.InsertText, input.InsertTextParams{Text: text})
}

// cookie returns a cookie of the site, nil if the browser has none of that name.
func (t *tab) cookie(name string) *network.Cookie {
	t.Helper()
	for _, c := range call(t, network.GetCookies, network.GetCookiesParams{URLs: []string{t.site.base}}).Cookies {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// isA makes the browser one with that name and those languages.
func (t *tab) isA(agent, languages string) {
	t.Helper()
	call(t, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: languages})
}

// scripts lets pages run scripts, or not.
func (t *tab) scripts(allowed bool) {
	t.Helper()
	call(t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !allowed})
}
