public class Arrays {
    public static void main(String[] none) {
        long[][] all = new long[600][];
        for (int i = 0; i < all.length; i++) {
            all[i] = new long[1 << 17];
            for (int j = 0; j < all[i].length; j++) all[i][j] = i * 31L + j;
        }
        long sum = 0;
        for (int round = 0; round < 2; round++)
            for (long[] a : all)
                for (long x : a) sum = sum * 31 + x;
        System.out.println(sum);
    }
}
