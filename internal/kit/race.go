//go:build race

package kit

// RaceDetector reports whether the tests run with the race detector.
const RaceDetector = true
