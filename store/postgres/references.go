package postgres

import (
	"slices"

	"example.com/latchkey/store"
)

// The statements that defer the checks of references, and that make them up to now.
const (
	referencesLater = "SET CONSTRAINTS ALL DEFERRED"
	referencesNow   = "SET CONSTRAINTS ALL IMMEDIATE"
)

// checkNow adds the checks of the references of earlier writes to the next batch.
func (c *caller) checkNow() {
	if !c.late {
		return
	}
	c.waiting = append(c.waiting, deferred{text: referencesNow}, deferred{text: referencesLater})
	c.unchecked = nil
}

// beforeWrite makes the checks that a write to a table could change the outcome of: a parent that
// comes, or a child that goes or refers to another parent.
func (c *caller) beforeWrite(t *store.Table, inserts bool) {
	if !c.defers() {
		return
	}
	for _, child := range c.unchecked {
		if child == t && !inserts || refersTo(child, t) {
			c.checkNow()
			return
		}
	}
}

// checkLater lets the references of new rows of a table wait for their check.
func (c *caller) checkLater(t *store.Table) {
	if !c.defers() || len(t.References()) == 0 {
		return
	}
	if !c.late {
		c.late = true
		c.waiting = append(c.waiting, deferred{text: referencesLater})
	}
	if !slices.Contains(c.unchecked, t) {
		c.unchecked = append(c.unchecked, t)
	}
}

// defers says that the transaction checks references late.
func (c *caller) defers() bool { return c.batches && !c.careful }

func refersTo(child, parent *store.Table) bool {
	return slices.ContainsFunc(child.References(), func(r store.Reference) bool { return r.Parent.Table() == parent })
}
