//go:build !faultpoints

package daemon

// faultPoint is called at every named step of a purchase. It does nothing here;
// the faultpoints build kills the process at a step that a test asks for.
var faultPoint func(step string)
