//! Sources on folder trees and sockets as the makers leave them.

mod damaged;
mod files;
mod https;
mod kubelet;
