# Reads of a made-up genome: reads.pl sam|fasta
my ($seed, $what) = (12345, $ARGV[0]);
sub dice { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; return $seed >> 8 }
my $genome = join "", map { (qw(A C G T))[dice() % 4] } 1 .. 4_000_000;
if ($what eq "sam") {
    print "\@HD\tVN:1.6\tSO:unsorted\n\@SQ\tSN:chr1\tLN:4000000\n";
    for my $i (1 .. 1_100_000) {
        my $at = (dice() * 8192 + dice()) % 3_999_000;
        print "r$i\t0\tchr1\t", $at + 1, "\t60\t100M\t*\t0\t0\t", substr($genome, $at, 100), "\t", "I" x 100, "\n";
    }
} else {
    print ">r$_\n", substr($genome, (dice() * 8192 + dice()) % 3_999_000, 150), "\n" for 1 .. 150_000;
}
