// Command mutants removes the rules of the money path one at a time and shows
// which test notices. A rule that can be removed without a failing test is a
// rule that nobody would miss until a customer is charged twice.
//
// The product's source holds no switches. A table here names, for every mutant,
// the rule that goes, the promises that it keeps (docs/promises.md), and the
// lines to change. From it an overlay is made (go build -overlay), in a
// temporary folder: the files of the product with the switches of all mutants,
// each asked by topup.Mutant. The tests of the product are built with it once,
// and TOPUPD_MUTANT in the environment of a run picks the mutant. With none
// picked they must pass, or nothing below means anything.
//
// It must never write into the source, and no build without the overlay knows
// of it. Run it with make mutants; it prints Markdown.
package main
