//go:build race

package kit

// RaceDetector says whether the tests are compiled with the race detector.
const RaceDetector = true
