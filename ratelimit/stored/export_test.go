package stored

// SweepText returns the statement of a sweep.
func SweepText(namespace string) string { return textsOf(Options{Namespace: namespace}).sweep }
