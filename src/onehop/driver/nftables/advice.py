"""What an operator is told where the kernel cannot serve; the same words at start and by check."""

from typing import Final

NO_RIGHT: Final = (
    "CAP_NET_ADMIN is missing: run as root, or grant AmbientCapabilities=CAP_NET_ADMIN"
)
MODULES: Final = "nf_tables nft_chain_nat nft_masq nft_numgen nft_hash nft_fib_inet nft_reject_inet"
NO_MODULES: Final = f"this kernel has no nf_tables: modprobe -a {MODULES}, or a kernel with them"
NO_NFT: Final = "nft(8) is missing: apt-get install nftables"
