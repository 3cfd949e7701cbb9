// Package container keeps the recipe of the image and the example for
// Kubernetes true: the recipe's steps are done by hand, what comes of them is the
// root of an agent that ships a node's logs by the example's configuration.
package container
