-- A map and a list, kept until both were walked.
import qualified Data.Map.Strict as M
import Data.List (foldl')

main :: IO ()
main = do
  let m = foldl' (\t i -> M.insert ((i * 7919) `mod` 1000003) i t) M.empty [1 .. 1500000 :: Int]
      l = map (\i -> (i * 31) `mod` 1009) [1 .. 3000000 :: Int]
  print (M.size m, M.foldlWithKey' (\s k v -> s + k `mod` 7 + v) 0 m)
  print (sum l, length l, M.lookup 77777 m)
