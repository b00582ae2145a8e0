// Package seam lets package hashertest, and no host, ask for weak hashers.
package seam

// Tests is the argument of the functions that are for tests. Only the packages
// below hasher can make one.
type Tests struct{ made bool }

// ForTests returns the argument.
func ForTests() Tests { return Tests{made: true} }

// OK reports whether the argument was made by ForTests.
func (t Tests) OK() bool { return t.made }
