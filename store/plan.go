package store

// Plan is what opening a place would do to its tables. The Plan function of a backend returns
// it, and changes nothing.
type Plan struct {
	// Exists says that the place has tables of the schema. Without them, opening makes them.
	Exists bool
	// Version is that of the tables, 0 without tables. To is the version that opening leads to.
	Version, To int
	// Steps are the changes in their order: the statements of a SQL backend, or what another
	// backend does in words. None means that opening changes no table.
	Steps []string
	// Script does the same for an administrator, in one transaction: SQL for psql. It is "" for a
	// backend without a server, and without steps.
	Script string
}

// Upgrades reports whether opening would change tables that are there.
func (p Plan) Upgrades() bool { return p.Exists && len(p.Steps) > 0 }

// Adds reports whether opening would change tables that are there in a way that programs of
// their version need not know.
func (p Plan) Adds() bool { return p.Upgrades() && p.Version == p.To }
