// Package clientstest holds what every provider client must do when it charges:
// put the request on the wire at most once, and never take a broken answer for a
// yes or a no. [Exercise] checks it against servers that misbehave below HTTP,
// which no httptest handler can. Only tests import it.
package clientstest
