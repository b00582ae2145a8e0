package browser

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp/kb"
)

// focus returns the role and the accessible name of the element with the focus.
func (t *tab) focus() string {
	t.Helper()
	element := call(t, runtime.Evaluate, runtime.EvaluateParams{Expression: "document.activeElement"}).Result.ObjectID
	no := false
	node := call(t, accessibility.GetPartialAXTree, accessibility.GetPartialAXTreeParams{ObjectID: element, FetchRelatives: &no}).Nodes[0]
	return strings.Trim(string(node.Role.Value), `"`) + " " + strings.Trim(string(node.Name.Value), `"`)
}

// visible describes the mark of the focus, "" if there is none to see.
const visible = `(() => {
	const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect()
	const seen = b.left >= 0 && b.top >= 0 && b.right <= innerWidth && b.bottom <= innerHeight
	return seen && s.outlineStyle != 'none' && parseFloat(s.outlineWidth) >= 2 ? s.outlineColor : ''
})()`

func TestTheKeyboardReachesEverythingAndShowsWhereItIs(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	b.open("/sign-in?next=/teams")
	var reached []string
	for range 20 {
		b.key(kb.Tab)
		if eval[bool](b, "document.activeElement == document.body") {
			break
		}
		reached = append(reached, b.focus())
		if eval[string](b, visible) == "" {
			t.Errorf("the focus at %q cannot be seen", b.focus())
		}
	}
	want := []string{
		"link Skip to the content", "link Webapp", "link Sign in", "link Sign up",
		"textbox E-mail address", "textbox Password", "checkbox Stay signed in at this browser", "button Sign in", "link Forgotten the password?",
		"button Send a link", "button Send a code", "button Sign in by another service", "link Sign up", "button English", "button Deutsch",
	}
	if !slices.Equal(reached, want) {
		t.Errorf("the keyboard reaches\n%s\nwant\n%s", strings.Join(reached, "\n"), strings.Join(want, "\n"))
	}
}

func TestAUserSignsInByTheKeyboardAlone(t *testing.T) {
	s := newSite(t)
	s.member(ada)
	b := s.browser()
	b.open("/sign-in?next=/teams")
	b.key(kb.Tab)
	b.key(kb.Enter) // on the link that skips the menu
	b.key(kb.Tab)
	if at := b.focus(); at != "textbox E-mail address" {
		t.Fatalf("after the skip the focus is at %q", at)
	}
	b.key(ada)
	b.key(kb.Tab)
	b.key(password)
	b.key(kb.Tab)
	b.key(" ")
	if status := b.submit(); status != 200 {
		t.Errorf("status %d", status)
	}
	b.at("/teams")
	if b.cookie("session").Session {
		t.Error("the box is not ticked")
	}
	b.open("/account")
	for range 20 {
		if b.key(kb.Tab); b.focus() == "DisclosureTriangle Change the name" {
			break
		}
	}
	b.key(kb.Enter)
	b.key(kb.Tab)
	b.key("Countess")
	b.submit()
	b.shows("The name is changed.", "Countess")
}
